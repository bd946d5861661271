"""Ways of measuring, each with a name: which frames, which settings, and which figures are the ones to quote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from slam3r_ros.settings import SlamSettings


class ProtocolError(ValueError):
    """A protocol that is unknown; the message lists those known."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """One way of measuring."""

    name: str
    frame_step: int
    """Every so many frames of the recording are used."""
    with_intrinsics: bool
    """Whether poses are computed with the sequence's intrinsics (the networks never see them)."""
    source: str
    """Where it is from, and where this differs."""
    figures: tuple[str, ...]
    """The columns of the table that compare with published ones."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Settings by dotted name; every other is the node's default, as the weights recommend."""

    def settings(self) -> SlamSettings:
        """The engine's settings."""
        return SlamSettings().with_values(self.values)


_OFFLINE = {
    "window.radius": 5,
    "window.lookahead": -1,
    "initialize.window_size": 5,
    "initialize.minimum_confidence": 0.0,
    "initialize.minimum_texture": 0.0,
    "initialize.minimum_motion": 0.0,
    "register.retrieval_interval": 1,
    "keyframes.buffer_size": 100,
    "keyframes.interval": 1,
    "pose.minimum_inliers": 0.0,
    "pose.minimum_confidence": 0.0,
    "pose.hold_map_when_lost": False,
}
"""The published script: windows of 11 with future members, initial window 5, nothing is held back."""

PROTOCOLS = (
    Protocol(
        "all-frames",
        frame_step=1,
        with_intrinsics=True,
        source="this project's: every frame, one at a time, with the node's own settings (no lookahead)",
        figures=("ATE", "acc", "comp", "chamfer"),
    ),
    Protocol(
        "slam3r-7scenes",
        frame_step=20,
        with_intrinsics=True,
        source="SLAM3R (arXiv 2412.09401v3), 7-Scenes: 1/20 of each test sequence's frames, stride 1, 2 frames "
        "registered together, 5 scene frames, buffer updated every frame, initial window 5, windows of 11; accuracy "
        "and completeness are mean distances in cm after Umeyama and ICP; ATE from PnP-RANSAC with true intrinsics. "
        "Here with stride 1 one frame is registered at a time, and the thresholds are those that the weights recommend",
        figures=("ATE", "acc", "comp"),
        values={**_OFFLINE, "window.stride": 1, "register.scene_frames": 5, "register.together_max": 2},
    ),
    Protocol(
        "slam3r-replica",
        frame_step=1,
        with_intrinsics=True,
        source="SLAM3R (arXiv 2412.09401v3), Replica: all frames, members 20 apart, 10 registered together, 10 scene "
        "frames, buffer every 20, initial window 5, windows of 11; accuracy and completeness are mean distances in cm "
        "after Umeyama and ICP; ATE from PnP-RANSAC with true intrinsics. Here the thresholds are those that the "
        "weights recommend",
        figures=("ATE", "acc", "comp"),
        values={**_OFFLINE, "window.stride": 20, "register.scene_frames": 10, "register.together_max": 10},
    ),
    Protocol(
        "vista-7scenes",
        frame_step=5,
        with_intrinsics=False,
        source="ViSTA-SLAM's tables, 7-Scenes: seq-01 of each scene, stride 5; ATE RMSE in m, RMSE of distances with a "
        "cap of 0.5 m, Chamfer. Uncalibrated; windows and buffer as SLAM3R's own for 7-Scenes",
        figures=("ATE", "acc RMSE", "comp RMSE", "chamfer"),
        values={**_OFFLINE, "window.stride": 1, "register.scene_frames": 5, "register.together_max": 2},
    ),
    Protocol(
        "vista-tum",
        frame_step=3,
        with_intrinsics=False,
        source="ViSTA-SLAM's tables, TUM RGB-D freiburg1 (9 sequences), stride 3; ATE RMSE in m. Uncalibrated; windows "
        "and buffer as SLAM3R's own for 7-Scenes",
        figures=("ATE",),
        values={**_OFFLINE, "window.stride": 1, "register.scene_frames": 5, "register.together_max": 2},
    ),
)


def find_protocol(name: str) -> Protocol:
    """The protocol of that name; raises ProtocolError listing those known."""
    found = next((protocol for protocol in PROTOCOLS if protocol.name == name), None)
    if found is None:
        raise ProtocolError(f"protocol '{name}' is unknown; known: {', '.join(each.name for each in PROTOCOLS)}")
    return found

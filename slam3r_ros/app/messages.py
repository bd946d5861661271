"""What passes between the page's process and the process that maps, in both directions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slam3r_ros.app.run_settings import RunSettings
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.slam_status import SlamStatus
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.types import PoseUpdate

MAP_FILE_NAME = "map.slam3r"
"""The name of the map file in a run's folder."""


@dataclass(frozen=True, slots=True)
class NetworkChoice:
    """Which networks map, and on what."""

    weights: str = "embedded"
    """Name of embedded weights, a folder or a hub id."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 ..."""
    precision: str = "auto"
    """auto, float32, bfloat16 or float16."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Map a source."""

    source: str
    """What `slam3r_ros.io.sources.open_source` opens."""
    topic: str | None
    """The image topic of a bag."""
    settings: RunSettings
    networks: NetworkChoice
    folder: Path
    """Where the results go."""


@dataclass(frozen=True, slots=True)
class StopRequest:
    """End the run that is going on, and keep what is mapped. Without one it means nothing."""


ShownEvent = PoseUpdate | KeyframeView | MapCorrection
"""The events of the engine that the page shows: the pose of a frame, a keyframe, a closed loop."""


@dataclass(frozen=True, slots=True, eq=False)
class RunProgress:
    """How far a run is, and what has become known since the message before."""

    frames: int
    """Frames of the source that are mapped."""
    total: int | None
    """Frames that there should be; None where that is not known."""
    frames_per_second: float
    """Frames mapped a second since the run began."""
    status: SlamStatus
    events: tuple[ShownEvent, ...]
    is_finishing: bool = False
    """Whether all frames are there, and depth of the last keyframes is still being computed."""


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended."""

    sentence: str
    """What came of it, one sentence."""
    is_mapped: bool
    """Whether there is a map, whose files are in the run's folder."""
    problems: tuple[str, ...] = ()
    """What was wrong with single frames, and what failed on the way, one sentence each."""

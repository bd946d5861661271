"""The tracking loop: which pose each frame has, and which frames the networks are asked about.

There are two strategies. `RegisterEveryFrame` is the published way: nothing tracks, and every frame goes through both
networks. `TrackThenRegister` is that of a visual SLAM system since PTAM: visual odometry gives every frame a pose, and
only keyframes go through the networks. Both answer with the same two kinds of values, in the order of the frames: the
poses that are known already, and requests to the mapping loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from slam3r_ros.engine.stage_timer import StageTimer
from slam3r_ros.odometry.odometry_stage import OdometryStage
from slam3r_ros.types import PoseUpdate, StreamFrame, Window


@dataclass(frozen=True, slots=True, eq=False)
class KeyframeRequest:
    """Frames that are to be registered in the map together, in one L2W call."""

    windows: tuple[Window, ...]
    """The overlapping window of each frame; the frame itself is its reference."""
    is_bootstrap: bool = False
    """Whether the frames lie between the initial frames, which are then all of the scene."""
    has_pose: bool = False
    """Whether a `PoseUpdate` of the frame has been emitted already."""


WindowOf = Callable[[StreamFrame], "Window | None"]
"""The overlapping window of a frame, out of the ring buffer."""


class TrackingStrategy(Protocol):
    """Decides which frames become keyframes."""

    def track(self, frames: Sequence[StreamFrame], window_of: WindowOf) -> Iterator[PoseUpdate | KeyframeRequest]:
        """The poses that are known without the networks, and the frames that are to be registered, in order."""


class RegisterEveryFrame:
    """The reference pipeline: every frame is a keyframe, and nothing tracks."""

    def track(self, frames: Sequence[StreamFrame], window_of: WindowOf) -> Iterator[PoseUpdate | KeyframeRequest]:
        """One request for all frames."""
        windows = tuple(window for frame in frames if (window := window_of(frame)) is not None)
        if windows:
            yield KeyframeRequest(windows)


class TrackThenRegister:
    """Visual odometry tracks every frame; keyframes, and frames that it cannot track, are registered."""

    def __init__(self, odometry: OdometryStage, timer: StageTimer) -> None:
        self._odometry, self._timer = odometry, timer

    def track(self, frames: Sequence[StreamFrame], window_of: WindowOf) -> Iterator[PoseUpdate | KeyframeRequest]:
        """The pose of each frame that is tracked, and a request for each that is to be registered.

        The next frame is tracked when its answer is asked for: what the mapping loop has made of the request before is
        known to visual odometry by then.
        """
        for frame in frames:
            with self._timer.stage("tracks"):
                tracked = self._odometry.track(frame)
            if tracked is not None:
                yield PoseUpdate(frame.index, frame.header, tracked.pose, tracked.is_keyframe)
            needs_networks = tracked is None or tracked.is_keyframe
            if needs_networks and (window := window_of(frame)) is not None:
                yield KeyframeRequest((window,), has_pose=tracked is not None)

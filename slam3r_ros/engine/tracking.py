"""The tracking loop: which pose each frame has, and which frames go through the networks.

There are two strategies. `RegisterEveryFrame` is the reference pipeline: nothing tracks, and every frame goes through
both networks. `TrackThenRegister` is that of visual SLAM since PTAM: visual odometry gives every frame a pose, and only
keyframes go through the networks. Both yield the same two kinds of values, in the order of the frames: the poses that
are known already, and requests to the mapping loop.
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
    """The window of each frame, of which the frame itself is the reference."""
    is_bootstrap: bool = False
    """Whether the frames lie between the initial frames, which are then all of the scene."""
    has_pose: bool = False
    """Whether a `PoseUpdate` of the frame has been emitted already."""


WindowOf = Callable[[StreamFrame], "Window | None"]
"""Returns the window of a frame, out of the ring buffer; None where the device has no memory to encode its members, and
the frame is left out."""


class TrackingStrategy(Protocol):
    """Decides which frames are tracked and which are registered. That a tracked frame is a keyframe is decided by
    `FrameTracker.needs_keyframe`."""

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

        This is a generator: the next frame is tracked only when the caller takes the next value. By then the mapping
        loop has handled the request before, and visual odometry tracks against the local map that came of it.
        """
        for frame in frames:
            with self._timer.stage("tracks"):
                tracked = self._odometry.track(frame)
            if tracked is not None:
                yield PoseUpdate(frame.index, frame.header, tracked.pose, tracked.is_keyframe)
            needs_networks = tracked is None or tracked.is_keyframe
            if needs_networks and (window := window_of(frame)) is not None:
                yield KeyframeRequest((window,), has_pose=tracked is not None)

"""What the page says of the state of whoever makes the map."""

from __future__ import annotations

from dataclasses import dataclass

from slam3r_ros.engine.slam_status import SlamStatus


@dataclass(frozen=True, slots=True)
class MapStatus:
    """State and counters beside the map; what is not known is None."""

    state: str = "WAITING"
    """State in one word, such as TRACKING."""
    reason: str = "nothing has come yet"
    """Why the state is what it is, one sentence."""
    frame_rate: float | None = None
    """Frames that are processed each second."""
    frame_rate_received: float | None = None
    """Images that are received each second."""
    frames_dropped: int | None = None
    """Number of images that were replaced by newer ones before they could be processed."""
    latency_ms: float | None = None
    """Milliseconds from an image's stamp to its published pose."""
    memory_bytes: int | None = None
    """Resident memory of the process that makes the map."""
    map_points: int | None = None
    """Number of points in the map."""
    keyframes: int | None = None
    """Number of keyframes."""
    loops_closed: int | None = None
    """Number of times that the map was corrected because a place was seen again."""
    is_paused: bool = False
    """Whether images are ignored."""

    @classmethod
    def of_engine(cls, status: SlamStatus) -> MapStatus:
        """The state of an engine that runs without a node."""
        return cls(
            state=status.state.name,
            reason=status.reason,
            map_points=status.map_points,
            keyframes=status.keyframes,
            loops_closed=status.loops_closed,
        )

"""The engine's counters and state, as whoever runs it may look at them."""

from __future__ import annotations

from dataclasses import dataclass, field

from slam3r_ros.types import State


@dataclass(slots=True)
class SlamStatus:
    """Counters and state of the engine; a snapshot, safe to keep."""

    state: State = State.WAITING_FOR_IMAGES
    reason: str = "no image yet"
    """Why the state is what it is, one sentence."""
    processed: int = 0
    """Number of frames that were taken in."""
    registered: int = 0
    """Number of frames with a world pointmap."""
    lost_frames: int = 0
    """Number of registered frames without a pose that is trusted, and of frames that memory was too full for."""
    initialisations_failed: int = 0
    """Number of sets of first frames that did not make an initial map."""
    keyframes: int = 0
    """Keyframes in the keyframe buffer now."""
    map_points: int = 0
    """Number of points in the map now."""
    loops_closed: int = 0
    """Times that the map was corrected since the camera came back to where it had been."""
    stride: int = 0
    """Images of the camera's stream from one member of a window to the next; 0 until it is known."""
    images_per_frame: float = 1.0
    """Images of the camera's stream for each frame processed, a moving average: above 1 while some are left out."""
    keyframes_thinned: int = 0
    """Number of tracked frames that were to be keyframes while mapping had another one, and were not mapped."""
    voxel_size: float = 0.0
    """Present side of a voxel, scene units."""
    warnings: tuple[str, ...] = ()
    """What did not go as it should since the engine's start: what had to be done because the device's memory was full,
    and how a search for a loop failed, in order."""
    stage_ms: dict[str, float] = field(default_factory=dict)
    """Milliseconds of each stage, a moving average."""

"""What leaves the engine: one event for every thing that became known."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.types import MapUpdate, PoseUpdate

Update = PoseUpdate | MapUpdate | KeyframeView | MapCorrection
"""A frame's pose by visual odometry, what a registered frame changed in the map, a keyframe's image with its depth, or
a closed loop, which moves the poses, keyframes and points of all earlier updates."""


OnUpdate = Callable[[Update], None]
"""Called with every event as soon as it is made."""


def map_updates(events: Iterable[Update]) -> list[MapUpdate]:
    """What registered frames changed, out of all events."""
    return [event for event in events if isinstance(event, MapUpdate)]

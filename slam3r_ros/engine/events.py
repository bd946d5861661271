"""What leaves the engine: one event for every thing that became known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.place import Place
from slam3r_ros.types import MapUpdate, PoseUpdate


@dataclass(frozen=True, slots=True, eq=False)
class MappedPlace:
    """A keyframe that place recognition remembers from now on."""

    place: Place
    """What it is recognised by."""
    node: Sim3
    """(1,) from the keyframe's camera, in the lengths of when it was mapped, to the world as it is now."""


Update = PoseUpdate | MapUpdate | KeyframeView | MapCorrection | MappedPlace
"""A frame's pose by visual odometry, what a registered frame changed in the map, a keyframe's image with its depth, a
closed loop, which moves the poses, keyframes and points of all earlier updates, or a place to recognise later."""


OnUpdate = Callable[[Update], None]
"""Called with every event as soon as it is made."""


def map_updates(events: Iterable[Update]) -> list[MapUpdate]:
    """What registered frames changed, out of all events."""
    return [event for event in events if isinstance(event, MapUpdate)]

"""What tests read out of the engine's events."""

from __future__ import annotations

from collections.abc import Iterable

from slam3r_ros.engine.events import MappedPlace, Update
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.types import MapUpdate, PoseUpdate


def without_views(events: Iterable[Update]) -> list[Update]:
    """The events but for keyframe views, of which there may be several for a frame's other events, and for places."""
    return [event for event in events if not isinstance(event, KeyframeView | MappedPlace)]


def only_map_updates(events: Iterable[Update]) -> list[MapUpdate]:
    """The events but for keyframe views; every one of them has to be that of a registered frame."""
    updates = []
    for event in without_views(events):
        assert isinstance(event, MapUpdate), event
        updates.append(event)
    return updates


def is_keyframe_pose(event: Update) -> bool:
    """Whether it is the pose of a frame whose `MapUpdate` is still to come."""
    return isinstance(event, PoseUpdate) and event.is_keyframe


def final_updates(events: Iterable[Update]) -> list[PoseUpdate | MapUpdate]:
    """The last event of each frame, in the order of the events: what is known of it in the end."""
    return [event for event in events if isinstance(event, (PoseUpdate, MapUpdate)) and not is_keyframe_pose(event)]

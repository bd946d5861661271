"""What tests read out of the engine's events."""

from __future__ import annotations

from collections.abc import Iterable

from slam3r_ros.engine.events import Update
from slam3r_ros.types import MapUpdate, PoseUpdate


def only_map_updates(events: Iterable[Update]) -> list[MapUpdate]:
    """The events, every one of which has to be that of a registered frame."""
    updates = []
    for event in events:
        assert isinstance(event, MapUpdate), event
        updates.append(event)
    return updates


def is_keyframe_pose(event: Update) -> bool:
    """Whether it is the pose of a frame whose `MapUpdate` is still to come."""
    return isinstance(event, PoseUpdate) and event.is_keyframe


def final_updates(events: Iterable[Update]) -> list[PoseUpdate | MapUpdate]:
    """The last event of each frame, in the order of the events: what is known of it in the end."""
    return [event for event in events if isinstance(event, (PoseUpdate, MapUpdate)) and not is_keyframe_pose(event)]

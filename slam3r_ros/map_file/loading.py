"""A map file as the engine begins with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.loaded_map import LoadedMap
from slam3r_ros.engine.slam import Slam
from slam3r_ros.loop_closure.place import Place
from slam3r_ros.map_file.errors import MapFileError
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.types import KeyframeRecord, PoseEstimate

Describe = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Makes the descriptor of a place from an (H, W, 3) RGB image."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was loaded."""

    text: str
    """One sentence about it."""
    scale: StoredScale
    """The scale of the map."""
    map: LoadedMap
    """The map as `Slam.load` takes it."""


def load_map(slam: Slam, facts: MapFacts, path: Path, *, extends: bool) -> Loaded:
    """Let the engine begin with a map file, as `read_map` reads it; raises MapFileError as that does."""
    loaded = read_map(slam, facts, path, extends=extends)
    slam.load(loaded.map)
    return loaded


def read_map(slam: Slam, facts: MapFacts, path: Path, *, extends: bool) -> Loaded:
    """A map file that the engine can begin with; ``facts`` are those of the engine, which does not change. With
    ``extends`` mapping is to go on in this map, else the camera is only to be localized in it.

    Raises MapFileError, naming the file, where that cannot be.
    """
    with MapFile(path) as file:
        other_weights = file.facts().weights_hash != facts.weights_hash
        loaded = read_loaded_map(
            file, slam.settings.loops.most_places, slam.describe if other_weights else None, extends
        )
        scale, made_by = file.scale(), file.facts().weights
    try:
        slam.check_can_load(loaded)
    except ValueError as error:
        raise MapFileError(f"cannot go on in '{path}': {error}") from error
    text = f"loaded {len(loaded.records)} keyframes, {len(loaded.points)} points and {len(loaded.places)} places"
    if other_weights:
        text += f"; the map was made with weights '{made_by}', so its places were described anew"
    return Loaded(f"{text} from '{path}'", scale, loaded)


def read_loaded_map(file: MapFile, most_places: int, describe: Describe | None, extends: bool) -> LoadedMap:
    """A map file as the engine takes it, with at most so many places; with ``describe`` their descriptors are made anew
    from the keyframes' images. Raises MapFileError."""
    places, nodes = file.places(most_places)
    if describe is not None:
        places = described_anew(file, places, describe)
    frames, stamps_ns, poses = file.poses()
    points, records = file.point_map(), _records(file)
    ids = file.keyframe_ids()
    last = [*frames[-1:].tolist(), *(record.index for record in records[-1:]), *(each.index for each in places[-1:])]
    return LoadedMap(
        places=places,
        nodes=nodes,
        points=points.points(),
        point_frames=points.frames().astype(np.int64),
        voxel_size=points.voxel_size,
        frames=frames,
        stamps_ns=stamps_ns,
        poses=poses,
        records=records,
        next_frame=max(file.next_frame(), 1 + max(last, default=-1)),
        next_view=1 + max(ids, default=-1),
        extends=extends,
    )


def _records(file: MapFile) -> tuple[KeyframeRecord, ...]:
    """The records of the file's keyframes, in order."""
    records = []
    for number, keyframe in enumerate(file.keyframe_facts()):
        pose = PoseEstimate(keyframe.T_world_camera, keyframe.camera.fx, 1.0, 0.0, 1.0, 0.0)
        size = (keyframe.camera.height, keyframe.camera.width)
        records.append(KeyframeRecord(number, keyframe.frame, keyframe.header, size, pose, 0.0))
    return tuple(records)


def described_anew(file: MapFile, places: tuple[Place, ...], describe: Describe) -> tuple[Place, ...]:
    """The places with descriptors of other weights, each from the image of the nearest keyframe."""
    keyframes = file.keyframe_facts()
    frames = np.array([each.frame for each in keyframes])
    described: dict[int, NDArray[np.float32]] = {}
    changed = []
    for place in places:
        nearest = keyframes[int(np.abs(frames - place.index).argmin())].id
        if nearest not in described:
            described[nearest] = describe(file.keyframe(nearest).image)
        changed.append(replace(place, descriptor=described[nearest]))
    return tuple(changed)

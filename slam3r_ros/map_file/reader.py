"""A map file as a `Reconstruction`, whose keyframes are read when they are asked for."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.point_map import PointMap
from slam3r_ros.engine.reconstruction import Reconstruction
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.place import Place
from slam3r_ros.map_file.codecs import (
    TRAJECTORY,
    CodecError,
    decode_camera,
    decode_confidence,
    decode_depth,
    decode_header,
    decode_image,
    decode_pixels,
    decode_place,
    decode_points,
    decode_pose,
    decode_similarities,
)
from slam3r_ros.map_file.connection import open_to_read
from slam3r_ros.map_file.database import first_free_frame
from slam3r_ros.map_file.errors import DamagedMapFileError
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.setting_spec import SettingError
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import ImageHeader, MapPoints, StampedPose

_VIEW = (
    "SELECT keyframes.id, frame, stamp_ns, pose, depth_scale, header, camera, image, depth, depth_step, confidence "
    "FROM keyframes JOIN keyframe_data USING (id) WHERE keyframes.id = ?"
)
_POINTS_AT_ONCE = 1 << 17
"""Points that are filtered together."""
_NO_FRAME = 1 << 62
"""A number above that of any frame."""


@dataclass(frozen=True, slots=True, eq=False)
class KeyframeFacts:
    """The small values of a keyframe."""

    id: int
    """Number of its view."""
    frame: int
    """Number of its frame."""
    header: ImageHeader
    T_world_camera: Array
    """(4, 4): takes camera points to the world, scene units."""
    camera: Camera
    """Pinhole intrinsics of its image."""


class MapFile:
    """A map file that is open to be read. It may be written at the same time; what is read is from when it is asked."""

    def __init__(self, path: str | Path, connection: sqlite3.Connection | None = None) -> None:
        """``connection`` is what is read, and closed at the end; by default it is opened here.

        Raises MapFileError where there is no such file, where it is something else or of a newer version.
        """
        self.path = Path(path).expanduser()
        self._connection = open_to_read(self.path) if connection is None else connection
        self._lock = threading.Lock()

    def __enter__(self) -> MapFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; keyframes that were read stay."""
        with self._lock:
            self._connection.close()

    def meta(self) -> dict[str, Any]:
        """What holds for the whole file: values of JSON by name."""
        return {name: json.loads(value) for name, value in self.rows("SELECT name, value FROM meta")}

    def facts(self) -> MapFacts:
        """Weights and settings of the run that made the file."""
        return MapFacts(**self.meta().get("facts", {}))

    def scale(self) -> StoredScale:
        """How long a scene unit is."""
        return StoredScale(**self.meta().get("scale", {}))

    def reconstruction(self) -> Reconstruction:
        """Everything that was mapped; the file must stay open while keyframes are read.

        Raises DamagedMapFileError where poses or points cannot be read, and so does reading a keyframe.
        """
        keyframes = KeyframesOfFile(self)
        return Reconstruction(
            keyframes=keyframes,
            trajectory=self.trajectory(),
            points=self.points(),
            loops=self.loops(),
            metres_per_unit=self.scale().metres_per_unit,
        )

    def trajectory(self) -> list[StampedPose]:
        """The pose of every tracked frame, in order."""
        _, stamps_ns, poses = self.poses()
        return [StampedPose(stamp, T) for stamp, T in zip(stamps_ns.tolist(), poses, strict=True)]

    def poses(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        """(N,) numbers of all tracked frames, ascending, (N,) their stamps and (N, 4, 4) their poses."""
        empty = np.empty(0, TRAJECTORY)
        chunks = [np.frombuffer(data, TRAJECTORY) for (data,) in self.rows("SELECT poses FROM trajectory")]
        poses = np.concatenate([empty, *chunks])
        poses = poses[poses["frame"] < self._first_unjoined()]
        # Of several poses of a frame the last one counts.
        frames, last = np.unique(poses["frame"][::-1], return_index=True)
        poses = poses[::-1][last]
        matrices = np.zeros((len(poses), 4, 4))
        matrices[:, :3], matrices[:, 3, 3] = poses["pose"], 1.0
        return frames, poses["stamp_ns"].copy(), matrices

    def points(self) -> MapPoints:
        """The fused points of the map: the most confident one of each voxel."""
        return self.point_map().points()

    def point_map(self) -> PointMap:
        """The fused points of the map, with the frames that they were mapped with."""
        try:
            settings = self.facts().slam_settings.map
        except SettingError:  # of another version
            settings = SlamSettings().map
        point_map, waiting, count = PointMap(settings), list[tuple[int, MapPoints]](), 0
        if voxel_size := self.meta().get("voxel_size"):
            point_map.begin(float(voxel_size))
        for frame, chunk in self._point_chunks():
            waiting.append((frame, chunk))
            count += len(chunk)
            if count >= _POINTS_AT_ONCE:
                _add(point_map, waiting)
                waiting, count = [], 0
        _add(point_map, waiting)
        return point_map

    def keyframe_ids(self) -> list[int]:
        """Numbers of the keyframes, in the order in which they were mapped."""
        query = "SELECT id FROM keyframes WHERE frame < ? ORDER BY id"
        return [row[0] for row in self.rows(query, self._first_unjoined())]

    def keyframe(self, number: int) -> KeyframeView:
        """The keyframe of this number; raises DamagedMapFileError where it cannot be read."""
        rows = self.rows(_VIEW, number)
        with self._readable(f"keyframe {number}"):
            if not rows:
                raise CodecError("its image is missing")
            id_, frame, stamp_ns, pose, scale, header, camera, image, depth, step, confidence = rows[0]
            return KeyframeView(
                id=id_,
                index=frame,
                header=decode_header(header, stamp_ns),
                T_world_camera=decode_pose(pose),
                camera=decode_camera(camera),
                image=decode_image(image),
                depth=decode_depth(depth, scale, step),
                confidence=decode_confidence(confidence),
            )

    def keyframe_facts(self) -> list[KeyframeFacts]:
        """The small values of all keyframes, in order; images and depths are not read."""
        query = "SELECT id, frame, stamp_ns, pose, header, camera FROM keyframes WHERE frame < ? ORDER BY id"
        rows = self.rows(query, self._first_unjoined())
        with self._readable("a keyframe"):
            return [
                KeyframeFacts(id_, frame, decode_header(header, stamp_ns), decode_pose(pose), decode_camera(camera))
                for id_, frame, stamp_ns, pose, header, camera in rows
            ]

    def next_frame(self) -> int:
        """The lowest number that is higher than that of any frame in the file."""
        with self._readable("a table"), self._lock:
            return first_free_frame(self._connection)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a query; raises DamagedMapFileError where they cannot be read."""
        with self._readable("a table"), self._lock:
            return self._connection.execute(query, values).fetchall()

    def places(self, most: int) -> tuple[tuple[Place, ...], Sim3]:
        """At most so many of the places by which the map is recognised, spread over all of it, and their nodes (P,)."""
        rows = self.rows("SELECT frame, T_world FROM places WHERE frame < ? ORDER BY frame", self._first_unjoined())
        rows = rows[:: -(-len(rows) // most)] if rows else rows
        places = []
        for frame, _ in rows:
            data = self.rows("SELECT data FROM place_data WHERE frame = ?", frame)
            with self._readable(f"the place of frame {frame}"):
                if not data:
                    raise CodecError("its features are missing")
                places.append(decode_place(data[0][0], frame))
        with self._readable("the places"):
            return tuple(places), decode_similarities([row[1] for row in rows])

    def _first_unjoined(self) -> int:
        """The number of the first frame of a session whose place in this map was not found; higher than any else."""
        first = self.meta().get("unjoined_from")
        return _NO_FRAME if first is None else int(first)

    def _point_chunks(self) -> Iterator[tuple[int, MapPoints]]:
        """The points that each frame has added, in the world as it is now, with the number of the frame."""
        query = "SELECT chunk, count, T_world, frame FROM points WHERE frame < ? ORDER BY chunk"
        chunks = self.rows(query, self._first_unjoined())
        with self._readable("points of the map"):
            similarities = decode_similarities([row[2] for row in chunks])
        for number, (chunk, count, _, frame) in enumerate(chunks):
            data = self.rows("SELECT data FROM point_data WHERE chunk = ?", chunk)
            with self._readable("points of the map"):
                if not data:
                    raise CodecError("some are missing")
                stored = decode_points(data[0][0], count)
            moved = similarities[number].apply(stored.points_world).astype(np.float32)
            yield frame, MapPoints(moved, stored.colours, stored.confidence)
        yield from self._points_of_keyframes()

    def _points_of_keyframes(self) -> Iterator[tuple[int, MapPoints]]:
        """The points that each keyframe with dense depth has added, as `_point_chunks` has them."""
        query = "SELECT id, pixels FROM map_pixels JOIN keyframes USING (id) WHERE frame < ? ORDER BY id"
        for id_, data in self.rows(query, self._first_unjoined()):
            view = self.keyframe(id_)
            with self._readable("points of the map"):
                yield view.index, view.points_of(decode_pixels(data, view.depth.shape))

    def loops(self) -> tuple[tuple[int, int], ...]:
        """Numbers of the keyframes at, or next before, both ends of every closed loop."""
        return tuple(self._loops())

    def _loops(self) -> Iterator[tuple[int, int]]:
        rows = self.rows("SELECT frame, id FROM keyframes ORDER BY frame")
        frames, ids = [row[0] for row in rows], [row[1] for row in rows]
        if not rows:
            return
        for ends in self.rows("SELECT before, after FROM loops ORDER BY after, before"):
            before, after = (ids[max(0, int(np.searchsorted(frames, end, side="right")) - 1)] for end in ends)
            yield before, after

    @contextmanager
    def _readable(self, what: str) -> Iterator[None]:
        """Raises DamagedMapFileError, which names what cannot be read."""
        try:
            yield
        except (sqlite3.DatabaseError, CodecError, TypeError) as error:
            raise DamagedMapFileError(
                f"'{self.path}' is damaged: {what} cannot be read ({error}); "
                f"'slam3r_ros info {self.path} --salvage NEW.slam3r' saves the rest"
            ) from error


class KeyframesOfFile(Sequence[KeyframeView]):
    """The keyframes of a file, in the order in which they were mapped; each is read when it is asked for."""

    def __init__(self, file: MapFile) -> None:
        self._file, self._ids = file, file.keyframe_ids()

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, position: int) -> KeyframeView: ...
    @overload
    def __getitem__(self, position: slice) -> list[KeyframeView]: ...
    def __getitem__(self, position: int | slice) -> KeyframeView | list[KeyframeView]:
        if isinstance(position, slice):
            return [self._file.keyframe(number) for number in self._ids[position]]
        return self._file.keyframe(self._ids[position])


def _add(point_map: PointMap, chunks: list[tuple[int, MapPoints]]) -> None:
    """Filter the points that frames have added into a map."""
    if not chunks:
        return
    points = MapPoints(
        np.concatenate([each.points_world for _, each in chunks]),
        np.concatenate([each.colours for _, each in chunks]),
        np.concatenate([each.confidence for _, each in chunks]),
    )
    frames = np.repeat([frame for frame, _ in chunks], [len(each) for _, each in chunks])
    point_map.add(points.points_world, points.colours, points.confidence, frames)

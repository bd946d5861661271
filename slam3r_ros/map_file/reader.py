"""A map file as a `Reconstruction`, whose keyframes are read when they are asked for."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.point_map import PointMap
from slam3r_ros.engine.reconstruction import Reconstruction
from slam3r_ros.map_file.codecs import (
    TRAJECTORY,
    CodecError,
    decode_camera,
    decode_confidence,
    decode_depth,
    decode_header,
    decode_image,
    decode_points,
    decode_pose,
    decode_similarities,
)
from slam3r_ros.map_file.connection import open_to_read
from slam3r_ros.map_file.errors import DamagedMapFileError
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.setting_spec import SettingError
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import MapPoints, StampedPose

_VIEW = (
    "SELECT keyframes.id, frame, stamp_ns, pose, depth_scale, header, camera, image, depth, depth_step, confidence "
    "FROM keyframes JOIN keyframe_data USING (id) WHERE keyframes.id = ?"
)
_POINTS_AT_ONCE = 1 << 17
"""Points that are filtered together."""
_NO_POINTS = MapPoints(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), np.empty(0, np.float32))


class MapFile:
    """A map file that is open to be read. It may be written at the same time; what is read is from when it is asked."""

    def __init__(self, path: str | Path) -> None:
        """Raises MapFileError where there is no such file, where it is something else or of a newer version."""
        self.path = Path(path).expanduser()
        self._connection = open_to_read(self.path)
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
        chunks = [np.frombuffer(data, TRAJECTORY) for (data,) in self.rows("SELECT poses FROM trajectory")]
        if not chunks:
            return []
        poses = np.concatenate(chunks)
        poses = poses[np.argsort(poses["frame"], kind="stable")]
        matrices = np.zeros((len(poses), 4, 4))
        matrices[:, :3], matrices[:, 3, 3] = poses["pose"], 1.0
        return [StampedPose(stamp, T) for stamp, T in zip(poses["stamp_ns"].tolist(), matrices, strict=True)]

    def points(self) -> MapPoints:
        """The fused points of the map: the most confident one of each voxel."""
        try:
            settings = self.facts().slam_settings.map
        except SettingError:  # of another version
            settings = SlamSettings().map
        point_map, waiting = PointMap(settings), [_NO_POINTS]
        for chunk in self._point_chunks():
            waiting.append(chunk)
            if sum(map(len, waiting)) >= _POINTS_AT_ONCE:
                _add(point_map, waiting)
                waiting = [_NO_POINTS]
        _add(point_map, waiting)
        return point_map.points()

    def keyframe_ids(self) -> list[int]:
        """Numbers of the keyframes, in the order in which they were mapped."""
        return [row[0] for row in self.rows("SELECT id FROM keyframes ORDER BY id")]

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

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a query; raises DamagedMapFileError where they cannot be read."""
        with self._readable("a table"), self._lock:
            return self._connection.execute(query, values).fetchall()

    def _point_chunks(self) -> Iterator[MapPoints]:
        """The points that each frame has added, in the world as it is now."""
        chunks = self.rows("SELECT chunk, count, T_world FROM points ORDER BY chunk")
        with self._readable("points of the map"):
            similarities = decode_similarities([row[2] for row in chunks])
        for number, (chunk, count, _) in enumerate(chunks):
            data = self.rows("SELECT data FROM point_data WHERE chunk = ?", chunk)
            with self._readable("points of the map"):
                if not data:
                    raise CodecError("some are missing")
                stored = decode_points(data[0][0], count)
            moved = similarities[number].apply(stored.points_world).astype(np.float32)
            yield MapPoints(moved, stored.colours, stored.confidence)

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
        except (sqlite3.DatabaseError, CodecError) as error:
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


def _add(point_map: PointMap, chunks: list[MapPoints]) -> None:
    """Filter points into a map."""
    point_map.add(
        np.concatenate([each.points_world for each in chunks]),
        np.concatenate([each.colours for each in chunks]),
        np.concatenate([each.confidence for each in chunks]),
    )

"""Changes to a map file that is complete: points that are removed from it, and its scale."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.map_file.codecs import (
    CodecError,
    decode_points,
    decode_similarities,
    encode_points,
)
from slam3r_ros.map_file.connection import close_writer, open_to_write
from slam3r_ros.map_file.database import MapDatabase
from slam3r_ros.map_file.errors import DamagedMapFileError
from slam3r_ros.map_file.file_lock import FileLock
from slam3r_ros.map_file.reader import MapFile

Chooses = Callable[[NDArray[np.float32]], NDArray[np.bool_]]
"""Returns (N,) whether points (N, 3) of the engine's world, scene units, are chosen."""
_MOST_UNDONE = 10
"""Number of removals that can be undone, the last ones."""


class MapFileEditor:
    """Changes a map file, each time in one transaction. Each call opens the file, and closes it again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._undo: list[list[tuple[str, tuple[object, ...]]]] = []  # statements that bring back, for each removal

    def remove_points(self, is_removed: Chooses) -> int:
        """Remove points from the keyframes' depths and from the map; returns how many depths are gone.

        Raises MapFileError where the file cannot be read, and OutputError where it is in use or cannot be written.
        """
        restoring: list[tuple[str, tuple[object, ...]]] = []
        changing: list[tuple[str, tuple[object, ...]]] = []
        with MapFile(self._path) as file:
            count = sum(_remove_from_keyframe(file, id, is_removed, changing, restoring) for id in file.keyframe_ids())
            _remove_from_points(file, is_removed, changing, restoring)
        if changing:
            self._execute(changing)
            self._undo = [*self._undo, restoring][-_MOST_UNDONE:]
        return count

    @property
    def can_undo(self) -> bool:
        """Whether a removal can be undone."""
        return bool(self._undo)

    def undo(self) -> None:
        """Bring back what the last removal has removed."""
        self._execute(self._undo[-1])
        self._undo.pop()

    def set_scale(self, metres_per_unit: float) -> None:
        """Write how long a scene unit is. Raises as `remove_points` does."""
        with MapFile(self._path) as file:
            scale = replace(file.scale(), metres_per_unit=metres_per_unit, source="user", log_sigma=0.0)
        self._write(lambda connection: MapDatabase(connection).write_scale(scale))

    def _execute(self, statements: list[tuple[str, tuple[object, ...]]]) -> None:
        def run(connection: sqlite3.Connection) -> None:
            for statement, values in statements:
                connection.execute(statement, values)

        self._write(run)

    def _write(self, change: Callable[[sqlite3.Connection], None]) -> None:
        """Change the database in one transaction."""
        lock = FileLock(self._path)
        try:
            connection = open_to_write(self._path)
            try:
                with MapDatabase(connection).transaction():
                    change(connection)
            except sqlite3.DatabaseError as error:
                raise DamagedMapFileError(f"'{self._path}' cannot be changed: {error}") from error
            finally:
                close_writer(connection)
        finally:
            lock.release()


def _remove_from_keyframe(
    file: MapFile,
    id: int,
    is_removed: Chooses,
    changing: list[tuple[str, tuple[object, ...]]],
    restoring: list[tuple[str, tuple[object, ...]]],
) -> int:
    """Remove depths of a keyframe: their pixels become unknown, the others stay as they are to the bit."""
    view = file.keyframe(id)
    known = np.isfinite(view.depth)
    removed = np.zeros(view.depth.shape, bool)
    removed[known] = is_removed(view.points().points_world)
    if not removed.any():
        return 0
    ((data,),) = file.rows("SELECT depth FROM keyframe_data WHERE id = ?", id)
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert values is not None  # `file.keyframe` has read it
    values[removed] = 0
    statement = "UPDATE keyframe_data SET depth = ? WHERE id = ?"
    changing.append((statement, (cv2.imencode(".png", values)[1].tobytes(), id)))
    restoring.append((statement, (data, id)))
    return int(removed.sum())


def _remove_from_points(
    file: MapFile,
    is_removed: Chooses,
    changing: list[tuple[str, tuple[object, ...]]],
    restoring: list[tuple[str, tuple[object, ...]]],
) -> None:
    """Remove points of the map."""
    query = "SELECT chunk, frame, count, T_world, data FROM points JOIN point_data USING (chunk)"
    for chunk, frame, count, T_world, data in file.rows(query):
        try:
            points, similarity = decode_points(data, count), decode_similarities([T_world])
        except CodecError as error:
            raise DamagedMapFileError(
                f"'{file.path}' is damaged: points of the map cannot be read ({error})"
            ) from error
        kept = ~is_removed(similarity[0].apply(points.points_world).astype(np.float32))
        if kept.all():
            continue
        restoring.append(("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?)", (chunk, frame, count, T_world)))
        restoring.append(("INSERT OR REPLACE INTO point_data VALUES (?, ?)", (chunk, data)))
        if not kept.any():
            changing += [(f"DELETE FROM {table} WHERE chunk = ?", (chunk,)) for table in ("points", "point_data")]
            continue
        left = replace(
            points,
            points_world=points.points_world[kept],
            colours=points.colours[kept],
            confidence=points.confidence[kept],
        )
        changing.append(("UPDATE points SET count = ? WHERE chunk = ?", (len(left), chunk)))
        changing.append(("UPDATE point_data SET data = ? WHERE chunk = ?", (encode_points(left), chunk)))

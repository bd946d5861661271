"""Two map files of one place become one, at the scale of the first."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from slam3r_ros.loop_closure.merging import SessionPlaces, merge_sessions
from slam3r_ros.map_file.codecs import TRAJECTORY
from slam3r_ros.map_file.connection import copy_to, open_copy
from slam3r_ros.map_file.database import MapDatabase, first_free_frame
from slam3r_ros.map_file.errors import MapFileError
from slam3r_ros.map_file.facts import MIXED, StoredScale
from slam3r_ros.map_file.file_lock import FileLock
from slam3r_ros.map_file.loading import Describe, described_anew
from slam3r_ros.map_file.paths import checked_path
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.map_file.sessions import keep_frames

_ALL = 1 << 40
"""More places than a file has."""


@dataclass(frozen=True, slots=True)
class MergedMap:
    """A map file that was made of two."""

    path: Path
    """The file."""
    keyframe_counts: tuple[int, int]
    """Keyframes of the first and of the second file."""
    loop_count: int
    """Loops between the two."""
    scale: float
    """Length of the second file's scene unit in scene units of the first, where the two meet."""


@dataclass(frozen=True, slots=True)
class _Numbers:
    """What is added to the numbers of the second file, so that they are higher than those of the first."""

    keyframes: int
    """To those of keyframes."""
    frames: int
    """To those of frames."""
    chunks: int
    """To those of chunks of points."""

    def shifted(self, table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """A row of a table with its numbers, which are the first columns."""
        added = {
            "keyframes": (self.keyframes, self.frames),
            "keyframe_data": (self.keyframes,),
            "map_pixels": (self.keyframes,),
            "points": (self.chunks, self.frames),
            "point_data": (self.chunks,),
            "places": (self.frames,),
            "place_data": (self.frames,),
            "loops": (self.frames, self.frames),
        }[table]
        return (*(value + more for value, more in zip(row, added, strict=False)), *row[len(added) :])


def merge_map_files(first: Path, second: Path, target: Path, describe_with: Callable[[str], Describe]) -> MergedMap:
    """Write what two map files hold into a new one, which replaces an earlier ``target`` when it is complete.

    The second one is moved, turned and scaled into the world of the first, and the pose graph of both is optimized by
    the loops between them. ``describe_with`` makes what describes places with weights of this name, where the files
    were made with different ones. Raises MapFileError where a file cannot be read or they show no place in common, and
    OutputError where the new one cannot be written.
    """
    target = checked_path(target)
    if target.exists():
        FileLock(target).release()  # raises where another process writes it
    joined, added = _whole_copy(first), _whole_copy(second)
    with MapFile(first, joined) as one, MapFile(second, added) as other:
        numbers = _Numbers(
            1 + max(one.keyframe_ids(), default=-1), first_free_frame(joined), 1 + _highest(joined, "points", "chunk")
        )
        places, nodes = one.places(_ALL)
        places_added, nodes_added = other.places(_ALL)
        facts = one.facts().then(other.facts())
        if facts.weights_hash == MIXED and places and places_added:
            describe = describe_with(one.facts().weights)
            places, places_added = (
                described_anew(file, each, describe) for file, each in ((one, places), (other, places_added))
            )
        correction = None
        moved = tuple(replace(place, index=place.index + numbers.frames) for place in places_added)
        if places and moved:
            sessions = SessionPlaces(places, nodes), SessionPlaces(moved, nodes_added)
            correction = merge_sessions(*sessions, numbers.frames)
        if correction is None:
            raise MapFileError(f"'{first}' and '{second}' show no place in common: nothing is written")
        counts = (len(one.keyframe_ids()), len(other.keyframe_ids()))
        scale = float(correction.of_frames(np.array([correction.loops[:, 1].max()])).scale[0])
        stored = _scale_of_both(one.scale(), other.scale(), scale)
        database = MapDatabase(joined)
        with database.transaction():
            _add_rows(joined, added, numbers)
            database.write_facts(replace(one.facts(), weights_hash=facts.weights_hash))
            database.write(correction)
            database.write_scale(stored)
            database.write_meta(closed=True)
        copy_to(joined, target)
    between = (correction.loops[:, 0] < numbers.frames) & (correction.loops[:, 1] >= numbers.frames)
    return MergedMap(target, counts, int(between.sum()), scale)


def _whole_copy(path: Path) -> sqlite3.Connection:
    """A copy of a file as it is now, without a session whose place in it was not found."""
    connection = open_copy(path)
    first = MapDatabase(connection).read_meta("unjoined_from")
    if first is not None:
        with MapDatabase(connection).transaction():
            keep_frames(connection, 0, first)
            MapDatabase(connection).write_meta(unjoined_from=None)
    return connection


def _highest(connection: sqlite3.Connection, table: str, key: str) -> int:
    """The highest number in a column of a table; -1 where there is none."""
    highest = connection.execute(f"SELECT MAX({key}) FROM {table}").fetchone()[0]
    return -1 if highest is None else int(highest)


def _add_rows(target: sqlite3.Connection, source: sqlite3.Connection, numbers: _Numbers) -> None:
    """Add the rows of one file to another, with other numbers."""
    for table in ("keyframes", "keyframe_data", "map_pixels", "points", "point_data", "places", "place_data", "loops"):
        rows = source.execute(f"SELECT * FROM {table}")
        count = len(rows.description)
        target.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * count)})", _shifted(rows, table, numbers))
    for (data,) in source.execute("SELECT poses FROM trajectory ORDER BY chunk"):
        poses = np.frombuffer(data, TRAJECTORY).copy()
        poses["frame"] += numbers.frames
        target.execute("INSERT INTO trajectory (poses) VALUES (?)", (poses.tobytes(),))


def _shifted(rows: sqlite3.Cursor, table: str, numbers: _Numbers) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        yield numbers.shifted(table, row)


def _scale_of_both(first: StoredScale, second: StoredScale, scale: float) -> StoredScale:
    """The scale of the first file, or what that of the second says of it."""
    if first.metres_per_unit or not second.metres_per_unit:
        return first
    return replace(second, metres_per_unit=second.metres_per_unit / scale)

"""What can be read of a damaged map file, into a new one."""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from slam3r_ros.io.files import OutputError
from slam3r_ros.map_file.codecs import (
    TRAJECTORY,
    CodecError,
    decode_confidence,
    decode_depth,
    decode_header,
    decode_image,
    decode_place,
    decode_points,
    decode_pose,
    decode_similarities,
)
from slam3r_ros.map_file.connection import copy_to
from slam3r_ros.map_file.errors import MapFileError
from slam3r_ros.map_file.paths import checked_path
from slam3r_ros.map_file.schema import create_tables

Row = tuple[Any, ...]


@dataclass(slots=True)
class Salvage:
    """What was saved, and what is lost."""

    saved: dict[str, int] = field(default_factory=dict)
    """Rows that were saved, by table."""
    lost: dict[str, list[str]] = field(default_factory=dict)
    """What could not be read, by table."""

    def lines(self) -> list[str]:
        """The result as lines of text."""
        saved = ", ".join(f"{count} rows of {table}" for table, count in self.saved.items() if count)
        lines = [f"saved: {saved or 'nothing'}"]
        for table, reasons in self.lost.items():
            more = f", and {len(reasons) - 3} more" if len(reasons) > 3 else ""
            lines.append(f"lost of {table}: {'; '.join(reasons[:3])}{more}")
        return lines


def salvage(path: Path, target: Path) -> Salvage:
    """Copy every row that can be read and is what it should be into a new file, which replaces an earlier ``target``.

    Raises MapFileError where nothing can be read at all, and OutputError where the new file cannot be written. A
    keyframe of which a part is missing is left out.
    """
    target = checked_path(target)
    if target.exists() and path.exists() and os.path.samefile(path, target):
        raise OutputError(f"cannot write '{target}': it is the damaged file itself")
    source = _open_damaged(path)
    result, memory = Salvage(), sqlite3.connect("", isolation_level=None)  # a file that SQLite removes
    try:
        create_tables(memory)
        for table, check in _CHECKS.items():
            _copy_rows(source, memory, table, check, result)
        _keep_whole(memory, result)
        if not any(result.saved.values()):
            raise MapFileError(f"nothing can be read of '{path}'")
        memory.execute("INSERT OR REPLACE INTO meta VALUES ('closed', 'true')")
        copy_to(memory, target)
    finally:
        source.close()
        memory.close()
    return result


def _open_damaged(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise MapFileError(f"there is no file '{path}'")
    source = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
    with suppress(sqlite3.DatabaseError):
        source.execute("PRAGMA writable_schema = ON")  # so that a file that is cut is read as far as it goes
        source.execute("PRAGMA cell_size_check = ON")
    return source


def _copy_rows(
    source: sqlite3.Connection,
    target: sqlite3.Connection,
    table: str,
    check: Callable[[Row], object],
    result: Salvage,
) -> None:
    """Copy the rows of a table that can be read and that `check` does not refuse."""
    result.saved[table] = 0
    for row in _rows(source, table, result.lost):
        try:
            check(row)
            places = ", ".join("?" * len(row))
            target.execute(f"INSERT OR REPLACE INTO {table} VALUES ({places})", row)
            result.saved[table] += 1
        except (CodecError, ValueError, TypeError, zlib.error, sqlite3.Error) as error:
            result.lost.setdefault(table, []).append(f"{row[0]} ({error})")


def _rows(source: sqlite3.Connection, table: str, lost: dict[str, list[str]]) -> Iterator[Row]:
    """The rows of a table that can be read: forwards to the first damage, then each of the others by its number."""
    seen: set[Any] = set()
    try:
        for row in source.execute(f"SELECT * FROM {table}"):
            seen.add(row[0])
            yield row
        return
    except sqlite3.DatabaseError as error:
        lost.setdefault(table, []).append(f"what follows on row {len(seen)} in order ({error})")
    if table in _NUMBERED:
        yield from _rows_by_number(source, table, seen)


def _rows_by_number(source: sqlite3.Connection, table: str, seen: set[Any]) -> Iterator[Row]:
    """Rows behind a damage, backwards from the last and then one by one."""
    column = _NUMBERED[table]
    newest = max(seen, default=0)
    with suppress(sqlite3.DatabaseError):
        for row in source.execute(f"SELECT * FROM {table} ORDER BY {column} DESC"):
            if row[0] in seen:
                return
            seen.add(row[0])
            newest = max(newest, row[0])
            yield row
    for number in range(newest + _LOOK_AHEAD):
        if number not in seen:
            with suppress(sqlite3.DatabaseError):
                yield from source.execute(f"SELECT * FROM {table} WHERE {column} = ?", (number,)).fetchall()


def _keep_whole(target: sqlite3.Connection, result: Salvage) -> None:
    """Leave out keyframes and points of which one half is missing."""
    for table, other, column in (
        ("keyframes", "keyframe_data", "id"),
        ("keyframe_data", "keyframes", "id"),
        ("points", "point_data", "chunk"),
        ("point_data", "points", "chunk"),
        ("places", "place_data", "frame"),
        ("place_data", "places", "frame"),
        ("map_pixels", "keyframes", "id"),
    ):
        without = f"FROM {table} WHERE {column} NOT IN (SELECT {column} FROM {other})"
        numbers = [row[0] for row in target.execute(f"SELECT {column} {without}")]
        target.execute(f"DELETE {without}")
        result.saved[table] -= len(numbers)
        if numbers:
            result.lost.setdefault(table, []).append(f"{len(numbers)} of which {other} cannot be read")


def _check_keyframe(row: Row) -> None:
    decode_pose(row[3])
    decode_header(row[5], row[2])


def _check_data(row: Row) -> None:
    decode_image(row[1])
    decode_depth(row[2], 1.0, row[3])
    decode_confidence(row[4])


_LOOK_AHEAD = 1000
"""Numbers above the highest one known that are asked for."""
_NUMBERED = {
    "keyframes": "id",
    "keyframe_data": "id",
    "trajectory": "chunk",
    "points": "chunk",
    "point_data": "chunk",
    "places": "frame",
    "place_data": "frame",
    "map_pixels": "id",
}
"""The column by which the rows of a table are numbered."""
_CHECKS: dict[str, Callable[[Row], object]] = {
    "meta": lambda row: None,
    "keyframes": _check_keyframe,
    "keyframe_data": _check_data,
    "trajectory": lambda row: np.frombuffer(row[1], TRAJECTORY),
    "points": lambda row: decode_similarities([row[3]]),
    "point_data": lambda row: decode_points(row[1], -1),
    "loops": lambda row: None,
    "places": lambda row: decode_similarities([row[1]]),
    "place_data": lambda row: decode_place(row[1], row[0]),
    "map_pixels": lambda row: zlib.decompress(row[2]),
}
"""What refuses a row that is not what it should be, by table."""

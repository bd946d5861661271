"""The sessions of a map file: what was mapped in one go, from one frame to another."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np

from slam3r_ros.map_file.codecs import TRAJECTORY
from slam3r_ros.map_file.connection import close_writer, copy_to, open_to_write
from slam3r_ros.map_file.database import MapDatabase, first_free_frame
from slam3r_ros.map_file.paths import free_name


def split_unjoined(connection: sqlite3.Connection, path: Path) -> Path | None:
    """Make a file of its own of a session that was not joined with the rest of the file ``path``; that file, or None
    where there is no such session or it has no keyframe."""
    database, apart = MapDatabase(connection), None
    first = database.read_meta("unjoined_from")
    if first is None:
        return None
    query = "SELECT COUNT(*) FROM keyframes WHERE frame >= ?"
    if connection.execute(query, (first,)).fetchone()[0]:
        apart = free_name(path)
        copy_to(connection, apart)
        copy = open_to_write(apart)
        with MapDatabase(copy).transaction():
            keep_frames(copy, first, first_free_frame(copy))
            MapDatabase(copy).write_meta(unjoined_from=None, closed=True)
        close_writer(copy)
    with database.transaction():
        keep_frames(connection, 0, first)
        database.write_meta(unjoined_from=None)
    return apart


def keep_frames(connection: sqlite3.Connection, first: int, end: int) -> None:
    """Remove everything that was mapped with other frames than those from ``first`` up to ``end``; to be called inside
    of a transaction."""
    outside = (first, end)
    for table, data, key in (
        ("keyframes", "keyframe_data", "id"),
        ("keyframes", "map_pixels", "id"),
        ("points", "point_data", "chunk"),
    ):
        rows = f"SELECT {key} FROM {table} WHERE frame < ? OR frame >= ?"
        connection.execute(f"DELETE FROM {data} WHERE {key} IN ({rows})", outside)
    for table in ("keyframes", "points", "places", "place_data"):
        connection.execute(f"DELETE FROM {table} WHERE frame < ? OR frame >= ?", outside)
    for chunk, data in connection.execute("SELECT chunk, poses FROM trajectory").fetchall():
        poses = np.frombuffer(data, TRAJECTORY)
        kept = poses[(poses["frame"] >= first) & (poses["frame"] < end)]
        connection.execute("UPDATE trajectory SET poses = ? WHERE chunk = ?", (kept.tobytes(), chunk))
    connection.execute("DELETE FROM trajectory WHERE LENGTH(poses) = 0")
    connection.execute("DELETE FROM loops WHERE before < ? OR after >= ?", outside)

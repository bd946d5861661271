"""The tables of a map file, the version of the schema, and how older files are brought to it."""

from __future__ import annotations

import sqlite3

from slam3r_ros.map_file.errors import MapFileError

APPLICATION_ID = 0x534C3352
"""SQLite's application id of a map file: 'SL3R'."""
VERSION = 3
"""The version of the schema that is written (SQLite's user_version)."""

_TABLES_1 = """
-- What holds for the whole file: a JSON value by its name (see facts.py).
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- A keyframe's small values; a closed loop changes pose and depth_scale only.
CREATE TABLE keyframes (
    id INTEGER PRIMARY KEY,     -- KeyframeView.id
    frame INTEGER NOT NULL,     -- number of its frame among those that the engine has processed
    stamp_ns INTEGER NOT NULL,
    pose BLOB NOT NULL,         -- T_world_camera, the upper three rows: 12 float64, little-endian
    depth_scale REAL NOT NULL,  -- depth of the value 1 in keyframe_data.depth, scene units
    header TEXT NOT NULL,       -- ImageHeader as JSON
    camera TEXT NOT NULL        -- pinhole intrinsics of the image as JSON
);
-- A keyframe's large values, which are written once.
CREATE TABLE keyframe_data (
    id INTEGER PRIMARY KEY,
    image BLOB NOT NULL,        -- JPEG
    depth BLOB NOT NULL,        -- PNG of 16 bits: 0 unknown, else depth = depth_scale * exp(depth_step * (value - 1))
    depth_step REAL NOT NULL,
    confidence BLOB NOT NULL    -- PNG of 8 bits: confidence = exp(value / 10) - 1
);
-- Poses of tracked frames, some frames a row: records of codecs.TRAJECTORY.
CREATE TABLE trajectory (chunk INTEGER PRIMARY KEY, poses BLOB NOT NULL);
-- Points that a frame has added to the map, as codecs.encode_points has them, and the similarity that takes them to the
-- world: scale, rotation by rows and translation, 13 float64. A closed loop changes the similarity only.
CREATE TABLE points (
    chunk INTEGER PRIMARY KEY, frame INTEGER NOT NULL, count INTEGER NOT NULL, T_world BLOB NOT NULL
);
CREATE TABLE point_data (chunk INTEGER PRIMARY KEY, data BLOB NOT NULL);
-- Closed loops: numbers of the two frames that see the same place.
CREATE TABLE loops (before INTEGER NOT NULL, after INTEGER NOT NULL, PRIMARY KEY (before, after)) WITHOUT ROWID;
"""
_PLACES = """
-- Keyframes by which places are recognised, by the numbers of their frames, and the similarities (as in points) from
-- their cameras, in the lengths of when they were mapped, to the world.
CREATE TABLE places (frame INTEGER PRIMARY KEY, T_world BLOB NOT NULL);
-- What they are recognised by: loop_closure.place.Place as arrays of NumPy (npz).
CREATE TABLE place_data (frame INTEGER PRIMARY KEY, data BLOB NOT NULL);
"""
_MAP_PIXELS = """
-- The pixels of a keyframe's depth whose points are those that it has added to the map: their number, and one bit for
-- each pixel, by rows, compressed by zlib. Its points in the table points are those of keyframes without dense depth.
CREATE TABLE map_pixels (id INTEGER PRIMARY KEY, count INTEGER NOT NULL, pixels BLOB NOT NULL);
"""
TABLES = _TABLES_1 + _PLACES + _MAP_PIXELS
"""SQL that makes the tables of version `VERSION`."""

MIGRATIONS: dict[int, str] = {1: _PLACES, 2: _MAP_PIXELS}
"""SQL that brings a file of a version to the next one."""


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty database."""
    connection.executescript(f"BEGIN IMMEDIATE; {TABLES}; {_stamp(VERSION)} COMMIT;")


def version_of(connection: sqlite3.Connection, path: str) -> int:
    """The version of a file's schema; raises MapFileError where it is no map file, or one of a newer version."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise MapFileError(f"'{path}' is an SQLite database but no map file of slam3r_ros")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise MapFileError(
            f"'{path}' has version {version} of the map file's schema, and this slam3r_ros knows versions up to "
            f"{VERSION}: use a newer slam3r_ros"
        )
    return version


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring the tables of an older version to `VERSION`, all in one transaction."""
    steps = " ".join(MIGRATIONS[older] for older in range(version, VERSION))
    connection.executescript(f"BEGIN IMMEDIATE; {steps} {_stamp(VERSION)} COMMIT;")


def _stamp(version: int) -> str:
    """SQL that marks a database as a map file of this version."""
    return f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version};"

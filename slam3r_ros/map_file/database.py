"""The engine's events as rows of a map file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from slam3r_ros.engine.events import MappedPlace, Update
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.map_file.codecs import (
    TRAJECTORY,
    decode_pose,
    decode_similarities,
    encode_camera,
    encode_confidence,
    encode_depth,
    encode_header,
    encode_image,
    encode_pixels,
    encode_place,
    encode_points,
    encode_pose,
    encode_similarity,
)
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.types import MapPoints, MapUpdate, PoseEstimate, PoseUpdate

_IDENTITY = encode_similarity(Sim3.identity())


class MapDatabase:
    """Writes events into a database. Used by one thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._views_since_place = 0  # keyframes less places
        self._poses: list[tuple[int, int, np.ndarray]] = []  # of the trajectory, still to be written

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is written inside."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._write_poses()
            self._connection.execute("COMMIT")
        except BaseException:
            self._poses.clear()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def write_facts(self, facts: MapFacts) -> None:
        """Write what holds for the whole file."""
        self.write_meta(facts=asdict(facts))

    def write_scale(self, scale: StoredScale) -> None:
        """Write how long a scene unit is."""
        self.write_meta(scale=asdict(scale))

    def write_meta(self, **values: object) -> None:
        """Write values, which must be JSON's, by name."""
        rows = [(name, json.dumps(value)) for name, value in values.items()]
        self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def read_meta(self, name: str) -> Any:
        """A value of JSON by its name; None where there is none."""
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def write(self, event: Update) -> None:
        """Write an event, inside of a transaction; events come in the order in which the engine made them."""
        if isinstance(event, PoseUpdate):
            if not event.is_keyframe:  # else its `MapUpdate` has the refined pose
                self._note_pose(event.index, event.header.stamp_ns, event.pose)
        elif isinstance(event, MapUpdate):
            if event.is_tracked and event.pose is not None:
                self._note_pose(event.index, event.header.stamp_ns, event.pose)
            self._write_points(event.index, event.added)
        elif isinstance(event, KeyframeView):
            self._write_view(event)
        elif isinstance(event, MappedPlace):
            self._write_place(event)
        else:
            self._correct(event)

    def _note_pose(self, index: int, stamp_ns: int, pose: PoseEstimate) -> None:
        self._poses.append((index, stamp_ns, pose.T_world_camera[:3]))

    def _write_poses(self) -> None:
        if self._poses:
            data = np.array(self._poses, TRAJECTORY).tobytes()
            self._connection.execute("INSERT INTO trajectory (poses) VALUES (?)", (data,))
            self._poses = []

    def _replace_points(self, view: KeyframeView, points: MapPoints) -> None:
        """The points that a view adds to the map, instead of those of the frames since the view before: only which of
        its pixels they are, since depth, image and pose tell the rest."""
        query = "SELECT MAX(frame) FROM keyframes WHERE id < ?"
        before = self._connection.execute(query, (view.id,)).fetchone()[0]
        since = (-1 if before is None else before, view.index)
        chunks = "SELECT chunk FROM points WHERE frame > ? AND frame <= ?"
        self._connection.execute(f"DELETE FROM point_data WHERE chunk IN ({chunks})", since)
        self._connection.execute("DELETE FROM points WHERE frame > ? AND frame <= ?", since)
        pixels = view.pixels_of(points.points_world)
        row = (view.id, int(np.count_nonzero(pixels)), encode_pixels(pixels))
        self._connection.execute("INSERT OR REPLACE INTO map_pixels VALUES (?, ?, ?)", row)

    def _write_points(self, frame: int, points: MapPoints) -> None:
        """Points that a frame has added to the map."""
        if len(points):
            row = self._connection.execute(
                "INSERT INTO points (frame, count, T_world) VALUES (?, ?, ?)", (frame, len(points), _IDENTITY)
            )
            self._connection.execute("INSERT INTO point_data VALUES (?, ?)", (row.lastrowid, encode_points(points)))

    def _write_view(self, view: KeyframeView) -> None:
        """A view, which replaces an earlier one of the same id."""
        depth, scale, step = encode_depth(view.depth)
        pose, header = encode_pose(view.T_world_camera), encode_header(view.header)
        known = self._connection.execute("SELECT 1 FROM keyframes WHERE id = ?", (view.id,)).fetchone()
        self._views_since_place += known is None
        self._connection.execute(
            "INSERT OR REPLACE INTO keyframes VALUES (?, ?, ?, ?, ?, ?, ?)",
            (view.id, view.index, view.header.stamp_ns, pose, scale, header, encode_camera(view.camera)),
        )
        self._connection.execute(
            "INSERT OR REPLACE INTO keyframe_data VALUES (?, ?, ?, ?, ?)",
            (view.id, encode_image(view.image), depth, step, encode_confidence(view.confidence)),
        )
        if view.added is not None:
            self._replace_points(view, view.added)

    def _write_place(self, mapped: MappedPlace) -> None:
        """A place, unless there are as many as keyframes: they are about as large, and close to one another then."""
        if self._views_since_place <= 0:
            return
        self._views_since_place -= 1
        frame, data = mapped.place.index, encode_place(mapped.place)
        node = encode_similarity(mapped.node[0])
        self._connection.execute("INSERT OR REPLACE INTO places VALUES (?, ?)", (frame, node))
        self._connection.execute("INSERT OR REPLACE INTO place_data VALUES (?, ?)", (frame, data))

    def _correct(self, correction: MapCorrection) -> None:
        """Move all rows as a closed loop says; no image and no depth is written again."""
        self._write_poses()
        self._correct_keyframes(correction)
        self._correct_similarities("points", "chunk", correction)
        self._correct_similarities("places", "frame", correction)
        self._correct_trajectory(correction)
        self._connection.executemany("INSERT OR IGNORE INTO loops VALUES (?, ?)", correction.loops.tolist())
        if correction.joins:
            self.write_meta(unjoined_from=None)

    def _correct_keyframes(self, correction: MapCorrection) -> None:
        rows = self._connection.execute("SELECT id, frame, pose, depth_scale FROM keyframes").fetchall()
        if not rows:
            return
        changes = correction.of_frames(np.array([row[1] for row in rows]))
        poses = changes.apply_to_pose(np.stack([decode_pose(row[2]) for row in rows]))
        scales = changes.scale * [row[3] for row in rows]
        self._connection.executemany(
            "UPDATE keyframes SET pose = ?, depth_scale = ? WHERE id = ?",
            [(encode_pose(T), float(scale), row[0]) for T, scale, row in zip(poses, scales, rows, strict=True)],
        )

    def _correct_similarities(self, table: str, key: str, correction: MapCorrection) -> None:
        """Correct the similarities that take points or places to the world."""
        rows = self._connection.execute(f"SELECT {key}, frame, T_world FROM {table}").fetchall()
        if not rows:
            return
        changes = correction.of_frames(np.array([row[1] for row in rows]))
        moved = changes @ decode_similarities([row[2] for row in rows])
        self._connection.executemany(
            f"UPDATE {table} SET T_world = ? WHERE {key} = ?",
            [(encode_similarity(moved[number]), row[0]) for number, row in enumerate(rows)],
        )

    def _correct_trajectory(self, correction: MapCorrection) -> None:
        for chunk, data in self._connection.execute("SELECT chunk, poses FROM trajectory").fetchall():
            poses = np.frombuffer(data, TRAJECTORY).copy()
            bottom = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (len(poses), 1, 4))
            T = np.concatenate([poses["pose"], bottom], axis=1)
            poses["pose"] = correction.of_poses(poses["frame"], T)[:, :3]
            self._connection.execute("UPDATE trajectory SET poses = ? WHERE chunk = ?", (poses.tobytes(), chunk))


def first_free_frame(connection: sqlite3.Connection) -> int:
    """The lowest number that is higher than that of any frame in the file."""
    highest = [
        connection.execute(f"SELECT MAX(frame) FROM {table}").fetchone()[0]
        for table in ("keyframes", "points", "places")
    ]
    last = connection.execute("SELECT poses FROM trajectory ORDER BY chunk DESC LIMIT 2").fetchall()
    highest += [int(np.frombuffer(data, TRAJECTORY)["frame"].max()) for (data,) in last]
    return 1 + max((frame for frame in highest if frame is not None), default=-1)

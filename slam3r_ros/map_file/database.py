"""The engine's events as rows of a map file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np

from slam3r_ros.engine.events import Update
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
    encode_points,
    encode_pose,
    encode_similarity,
)
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.types import MapUpdate, PoseEstimate, PoseUpdate

_IDENTITY = encode_similarity(Sim3.identity())


class MapDatabase:
    """Writes events into a database. Used by one thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
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

    def write(self, event: Update) -> None:
        """Write an event, inside of a transaction; events come in the order in which the engine made them."""
        if isinstance(event, PoseUpdate):
            if not event.is_keyframe:  # else its `MapUpdate` has the refined pose
                self._note_pose(event.index, event.header.stamp_ns, event.pose)
        elif isinstance(event, MapUpdate):
            if event.is_tracked and event.pose is not None:
                self._note_pose(event.index, event.header.stamp_ns, event.pose)
            self._write_points(event)
        elif isinstance(event, KeyframeView):
            self._write_view(event)
        else:
            self._correct(event)

    def _note_pose(self, index: int, stamp_ns: int, pose: PoseEstimate) -> None:
        self._poses.append((index, stamp_ns, pose.T_world_camera[:3]))

    def _write_poses(self) -> None:
        if self._poses:
            data = np.array(self._poses, TRAJECTORY).tobytes()
            self._connection.execute("INSERT INTO trajectory (poses) VALUES (?)", (data,))
            self._poses = []

    def _write_points(self, update: MapUpdate) -> None:
        points = update.added
        if len(points):
            row = self._connection.execute(
                "INSERT INTO points (frame, count, T_world) VALUES (?, ?, ?)", (update.index, len(points), _IDENTITY)
            )
            self._connection.execute("INSERT INTO point_data VALUES (?, ?)", (row.lastrowid, encode_points(points)))

    def _write_view(self, view: KeyframeView) -> None:
        """A view, which replaces an earlier one of the same id."""
        depth, scale, step = encode_depth(view.depth)
        pose, header = encode_pose(view.T_world_camera), encode_header(view.header)
        self._connection.execute(
            "INSERT OR REPLACE INTO keyframes VALUES (?, ?, ?, ?, ?, ?, ?)",
            (view.id, view.index, view.header.stamp_ns, pose, scale, header, encode_camera(view.camera)),
        )
        self._connection.execute(
            "INSERT OR REPLACE INTO keyframe_data VALUES (?, ?, ?, ?, ?)",
            (view.id, encode_image(view.image), depth, step, encode_confidence(view.confidence)),
        )

    def _correct(self, correction: MapCorrection) -> None:
        """Move all rows as a closed loop says; no image and no depth is written again."""
        self._write_poses()
        self._correct_keyframes(correction)
        self._correct_points(correction)
        self._correct_trajectory(correction)
        self._connection.executemany("INSERT OR IGNORE INTO loops VALUES (?, ?)", correction.loops.tolist())

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

    def _correct_points(self, correction: MapCorrection) -> None:
        rows = self._connection.execute("SELECT chunk, frame, T_world FROM points").fetchall()
        if not rows:
            return
        changes = correction.of_frames(np.array([row[1] for row in rows]))
        moved = changes @ decode_similarities([row[2] for row in rows])
        self._connection.executemany(
            "UPDATE points SET T_world = ? WHERE chunk = ?",
            [(encode_similarity(moved[number]), row[0]) for number, row in enumerate(rows)],
        )

    def _correct_trajectory(self, correction: MapCorrection) -> None:
        for chunk, data in self._connection.execute("SELECT chunk, poses FROM trajectory").fetchall():
            poses = np.frombuffer(data, TRAJECTORY).copy()
            bottom = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (len(poses), 1, 4))
            T = np.concatenate([poses["pose"], bottom], axis=1)
            poses["pose"] = correction.of_poses(poses["frame"], T)[:, :3]
            self._connection.execute("UPDATE trajectory SET poses = ? WHERE chunk = ?", (poses.tobytes(), chunk))

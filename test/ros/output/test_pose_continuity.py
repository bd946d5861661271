"""The pose that never jumps, and how corrections reach the pose on the map: exact values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from outputs_harness import estimate, moved

from slam3r_ros.geometry.dead_reckoning import DeadReckoning
from slam3r_ros.geometry.se3 import Array, rigid, rotation_from_vector, vector_from_rotation
from slam3r_ros.io.map_axes import pose_in_map
from slam3r_ros.ros.output.pose_continuity import CorrectionSpeed, PoseContinuity, PublishedPose

STEP_NS = 100_000_000
STEP = 0.1
"""Motion of the camera ahead, from frame to frame, scene units."""


def turned(degrees: float) -> Array:
    """About the vertical axis."""
    return rigid(rotation_from_vector([0, np.radians(degrees), 0]), [0, 0, 0])


class Drive:
    """A camera that moves ahead by STEP with each frame, and a map that says where it is."""

    def __init__(self, translation: float = 0.5, rotation: float = 0.5, *, reckons: bool = True) -> None:
        self.continuity = PoseContinuity(CorrectionSpeed(translation, rotation))
        self.reckoning: DeadReckoning | None = DeadReckoning.begin() if reckons else None
        self.T_world_camera, self.unit, self._number = np.eye(4), 1.0, 0

    def correct(self, change: Array) -> None:
        """Move the world (4, 4)."""
        self.T_world_camera = change @ self.T_world_camera
        self.continuity.move_world(at_once=False)

    def lose(self, change: Array) -> None:
        """Be somewhere else, by a motion (4, 4) that nobody has measured."""
        self.T_world_camera = self.T_world_camera @ change
        assert self.reckoning is not None
        self.reckoning = self.reckoning.interrupted()

    def next(self) -> PublishedPose:
        ahead = moved(z=STEP)
        self.T_world_camera = self.T_world_camera @ ahead
        if self.reckoning is not None:
            self.reckoning = self.reckoning.moved(ahead)
        self._number += 1
        pose = replace(estimate(self.T_world_camera), reckoning=self.reckoning)
        return self.continuity.advance(self._number * STEP_NS, pose, self.corrected, self.unit)

    @property
    def corrected(self) -> Array:
        return pose_in_map(self.T_world_camera, self.unit)


def forward(T: Array) -> float:
    """The map's x axis points to where the first camera looks."""
    return float(T[0, 3])


def test_without_a_correction_both_poses_are_the_engines() -> None:
    drive = Drive()
    for number in range(1, 6):
        placed = drive.next()
        np.testing.assert_array_equal(placed.T_map_camera, drive.corrected)
        np.testing.assert_allclose(placed.T_odom_camera, drive.corrected, atol=1e-15)
        assert placed.is_continuous == (number > 1)
        assert forward(placed.T_map_camera) == pytest.approx(number * STEP)


def test_a_correction_comes_in_steps_beside_the_motion() -> None:
    drive = Drive(translation=0.5)
    drive.next()
    drive.correct(moved(z=0.22))  # at 0.05 a frame
    places, reckoned = [], []
    for _ in range(7):
        placed = drive.next()
        places.append(forward(placed.T_map_camera))
        reckoned.append(forward(placed.T_odom_camera))
    assert reckoned == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    assert places == pytest.approx([0.25, 0.4, 0.55, 0.7, 0.82, 0.92, 1.02])
    np.testing.assert_array_equal(placed.T_map_camera, drive.corrected)


def test_a_rotation_comes_in_steps_too_and_the_slower_of_both_leads() -> None:
    drive = Drive(translation=10.0, rotation=np.radians(20))
    for _ in range(3):
        before = drive.next()
    drive.correct(turned(7))
    placed = [drive.next() for _ in range(5)]
    angles = [
        np.degrees(np.linalg.norm(vector_from_rotation(before.T_map_camera[:3, :3].T @ each.T_map_camera[:3, :3])))
        for each in placed
    ]
    assert angles == pytest.approx([2, 4, 6, 7, 7])
    np.testing.assert_array_equal(placed[-1].T_map_camera, drive.corrected)
    for each in placed:
        np.testing.assert_allclose(each.T_map_camera[:3, :3] @ each.T_map_camera[:3, :3].T, np.eye(3), atol=1e-12)


def test_at_speed_zero_a_correction_comes_at_once_and_odometry_does_not_know() -> None:
    drive = Drive(0.0, 0.0)
    drive.next()
    drive.correct(turned(90) @ moved(z=3.0))
    placed = drive.next()
    np.testing.assert_array_equal(placed.T_map_camera, drive.corrected)
    assert forward(placed.T_odom_camera) == pytest.approx(0.2)


def test_after_a_loss_the_pose_on_the_map_jumps_and_odometry_stays() -> None:
    drive = Drive()
    drive.next()
    drive.lose(moved(x=2.0))
    placed = drive.next()
    np.testing.assert_array_equal(placed.T_map_camera, drive.corrected)
    assert not placed.is_continuous and forward(placed.T_odom_camera) == pytest.approx(0.1)
    placed = drive.next()
    assert placed.is_continuous and forward(placed.T_odom_camera) == pytest.approx(0.2)
    np.testing.assert_allclose(placed.T_odom_camera[1:3, 3], 0, atol=1e-15)


def test_a_new_map_begins_where_odometry_is() -> None:
    drive = Drive()
    for _ in range(3):
        drive.next()
    drive.continuity.lose()
    drive.T_world_camera, drive.reckoning = np.eye(4), DeadReckoning.begin()
    placed = drive.next()
    assert forward(placed.T_map_camera) == pytest.approx(0.1)
    assert forward(placed.T_odom_camera) == pytest.approx(0.3)


def test_another_scale_changes_the_map_at_once_and_odometry_from_then_on() -> None:
    drive = Drive()
    for _ in range(3):
        drive.next()
    drive.unit = 10.0
    drive.continuity.move_world(at_once=True)
    placed = drive.next()
    assert forward(placed.T_map_camera) == pytest.approx(4.0)
    assert forward(placed.T_odom_camera) == pytest.approx(0.3 + 1.0)
    assert placed.is_continuous


def test_without_visual_odometry_motion_is_the_difference_of_poses_on_the_map() -> None:
    drive = Drive(reckons=False)
    drive.next()
    assert forward(drive.next().T_odom_camera) == pytest.approx(0.2)
    drive.correct(moved(z=1.0))
    placed = drive.next()  # nobody knows which part of the difference is motion
    np.testing.assert_array_equal(placed.T_map_camera, drive.corrected)
    assert not placed.is_continuous and forward(placed.T_odom_camera) == pytest.approx(0.2)
    assert forward(drive.next().T_odom_camera) == pytest.approx(0.3)


def test_visual_odometry_goes_on_from_where_the_networks_have_it_begin() -> None:
    drive = Drive(reckons=False)
    drive.next()
    drive.reckoning = DeadReckoning.begin()
    placed = drive.next()
    assert placed.is_continuous and forward(placed.T_odom_camera) == pytest.approx(0.2)
    drive.reckoning = None  # lost: the networks alone have this frame
    assert not drive.next().is_continuous

"""The refinement of a pose from exact and from disturbed points, and when it refuses."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid, rotation_from_quat_xyzw, transform_points
from slam3r_ros.vision.pnp import PointObservations, evaluate_pose
from slam3r_ros.vision.pose_refinement import refine_pose

MATRIX = np.array([[110.0, 0, 55.5], [0, 115.0, 55.5], [0, 0, 1]])
T_WORLD_CAMERA = rigid(rotation_from_quat_xyzw([0.1, -0.2, 0.3, 0.9]), [3.0, -1.0, 2.0])


def observe(rng: np.random.Generator, count: int = 600, unit: float = 1.0) -> tuple[PointObservations, Array]:
    """Points that a camera at T_WORLD_CAMERA sees exactly, world in ``unit``, and its own ones in half metres."""
    pixels = rng.uniform(0, 111, (count, 2))
    depth = rng.uniform(1.5, 5, count)
    rays = np.column_stack([(pixels - MATRIX[:2, 2]) / [MATRIX[0, 0], MATRIX[1, 1]], np.ones(count)])
    points = rays * depth[:, None]
    world = unit * transform_points(T_WORLD_CAMERA, points)
    return PointObservations(world, pixels, MATRIX, 5.0), 2 * points


def disturbed(pose: Array, degrees: float, shift: float) -> Array:
    turn = np.asarray(cv2.Rodrigues(np.radians(degrees) * np.array([0.6, -0.64, 0.48]))[0])
    return rigid(turn @ pose[:3, :3], pose[:3, 3] + shift * np.array([0.6, 0.64, -0.48]))


def true_pose(unit: float = 1.0) -> Array:
    pose = T_WORLD_CAMERA.copy()
    pose[:3, 3] *= unit
    return invert_rigid(pose)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("own", [True, False])
def test_exact_points_give_the_exact_pose_in_any_unit(unit: float, own: bool) -> None:
    observed, points_camera = observe(np.random.default_rng(0), unit=unit)
    points_camera = points_camera if own else np.zeros_like(points_camera)
    start = evaluate_pose(observed, disturbed(true_pose(unit), 2, 0.05 * unit))
    assert start.inlier_fraction > 0.3
    fit = refine_pose(observed, points_camera, start, 0.55 * unit)
    np.testing.assert_allclose(fit.T_camera_world[:3, :3], true_pose()[:3, :3], atol=1e-7)
    np.testing.assert_allclose(fit.T_camera_world[:3, 3], true_pose(unit)[:3, 3], atol=1e-6 * unit)
    assert fit.inlier_fraction == 1.0


def test_wrong_points_of_both_kinds_change_nothing() -> None:
    rng = np.random.default_rng(1)
    observed, points_camera = observe(rng)
    observed.points_world[::3] += rng.normal(size=(200, 3))
    points_camera[1::4] *= rng.uniform(0.3, 3, (150, 1))
    observed.points_world[5], points_camera[7] = np.nan, np.inf
    fit = refine_pose(observed, points_camera, evaluate_pose(observed, disturbed(true_pose(), 2, 0.05)), 0.5)
    np.testing.assert_allclose(fit.T_camera_world, true_pose(), atol=1e-3)


def test_own_points_make_up_for_what_pixels_cannot_tell() -> None:
    """Far points hardly tell a shift from a turn by their pixels alone."""
    errors = {True: [], False: []}  # type: dict[bool, list[float]]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        observed, points_camera = observe(rng)
        noisy = observed.points_world + 0.05 * rng.normal(size=observed.points_world.shape)
        narrow = np.linalg.norm(observed.pixels - 55.5, axis=1) < 20
        seen = PointObservations(noisy[narrow], observed.pixels[narrow], MATRIX, 5.0)
        for own in errors:
            points = points_camera[narrow] if own else np.zeros((int(narrow.sum()), 3))
            fit = refine_pose(seen, points, evaluate_pose(seen, disturbed(true_pose(), 1, 0.02)), 0.5)
            error = invert_rigid(fit.T_camera_world)[:3, 3] - T_WORLD_CAMERA[:3, 3]
            errors[own].append(float(np.linalg.norm(error)))
    assert np.median(errors[True]) < 0.7 * np.median(errors[False])


def test_a_start_that_explains_more_is_kept() -> None:
    rng = np.random.default_rng(2)
    observed, _ = observe(rng)
    start = evaluate_pose(observed, true_pose())
    misleading = 10 * rng.normal(size=observed.points_world.shape)
    assert refine_pose(observed, misleading, start, 0.5).inlier_fraction >= 0.9


@pytest.mark.parametrize("kind", ["few", "behind", "one point", "not finite"])
def test_points_that_determine_no_pose_leave_the_start(kind: str) -> None:
    observed, points_camera = observe(np.random.default_rng(3), count=5 if kind == "few" else 50)
    world = observed.points_world
    if kind == "behind":
        world[:] = transform_points(T_WORLD_CAMERA, [0, 0, -2])
    if kind == "one point":
        world[:], points_camera[:] = world[0], points_camera[0]
    if kind == "not finite":
        world[:] = np.nan
    start = evaluate_pose(observed, true_pose())
    fit = refine_pose(observed, points_camera, start, 0.5)
    assert np.isfinite(fit.T_camera_world).all()
    if kind != "one point":
        assert fit is start

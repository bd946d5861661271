"""Poses from exact pointmaps made of known geometry, clean, with noise, with outliers, and with nonsense."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from slam3r_ros.engine.camera_pose import CameraPoseEstimator
from slam3r_ros.engine.tuning import TUNING
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import invert_rigid, rigid, rotation_from_quat_xyzw, transform_points
from slam3r_ros.settings import PoseSettings
from slam3r_ros.types import PoseEstimate

T_WORLD_CAMERA = rigid(rotation_from_quat_xyzw([0.1, -0.25, 0.05, 0.9]), [0.4, -0.2, 0.7])
SCALE = 2.5


@dataclass
class View:
    """What the networks would give for one frame, and its camera."""

    points_world: np.ndarray
    confidence: np.ndarray
    points_camera: np.ndarray
    confidence_camera: np.ndarray
    camera: Camera

    def estimate(self, estimator: CameraPoseEstimator, known_focal: bool, **more) -> PoseEstimate | None:
        maps = (self.points_world, self.confidence, self.points_camera, self.confidence_camera)
        return estimator.estimate(*maps, self.camera if known_focal else None, **more)


def make_view(size: int = 112, *, noise: float = 0.0, outliers: float = 0.0, focal: float = 1.1, seed: int = 0) -> View:
    """A wavy surface with steps seen from T_WORLD_CAMERA; noise as a fraction of depth; the local map is 1 / SCALE."""
    rng = np.random.default_rng(seed)
    camera = Camera(size, size, focal * size, focal * size, (size - 1) / 2, (size - 1) / 2)
    y, x = np.mgrid[:size, :size].astype(float)
    depth = 3 + np.sin(x * 12 / size) + np.cos(y * 9 / size) + 2.0 * (x > size * 0.6)
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones_like(x)], axis=-1)
    points = rays * depth[..., None]
    points_world = transform_points(T_WORLD_CAMERA, points + noise * depth[..., None] * rng.normal(size=points.shape))
    points_camera = (points + noise * depth[..., None] * rng.normal(size=points.shape)) / SCALE
    wrong = rng.uniform(size=(size, size)) < outliers
    points_world[wrong] = rng.uniform(-6, 6, (int(wrong.sum()), 3))
    confidence = np.full((size, size), 5.0, np.float32)
    return View(
        points_world.astype(np.float32), confidence, points_camera.astype(np.float32), confidence.copy(), camera
    )


def errors_of(estimate: PoseEstimate | None) -> tuple[float, float]:
    """Rotation error in degrees and position error in scene units; the surface is about 4 away."""
    assert estimate is not None
    delta = invert_rigid(T_WORLD_CAMERA) @ estimate.T_world_camera
    chord = np.linalg.norm(delta[:3, :3] - np.eye(3)) / (2 * math.sqrt(2))
    return math.degrees(2 * math.asin(min(1.0, float(chord)))), float(np.linalg.norm(delta[:3, 3]))


@pytest.mark.parametrize("known_focal", [True, False], ids=["known", "estimated"])
@pytest.mark.parametrize("size", [112, 224])
def test_exact_pointmap_gives_the_exact_pose(size, known_focal):
    estimate = make_view(size).estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), known_focal)
    degrees, distance = errors_of(estimate)
    assert degrees < 0.01 and distance < 0.001
    assert estimate.inlier_fraction == 1.0
    assert estimate.reprojection_error_px < 0.01
    assert estimate.focal_px == pytest.approx(1.1 * size, rel=1e-4)
    assert estimate.scale == pytest.approx(SCALE, rel=1e-4)
    assert estimate.similarity_error < 1e-4
    assert np.allclose(estimate.T_world_camera[:3, :3] @ estimate.T_world_camera[:3, :3].T, np.eye(3), atol=1e-9)


@pytest.mark.parametrize("known_focal", [True, False], ids=["known", "estimated"])
@pytest.mark.parametrize("seed", range(3))
def test_noise_of_one_percent_of_the_depth(known_focal, seed):
    view = make_view(noise=0.01, seed=seed)
    degrees, distance = errors_of(view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), known_focal))
    assert degrees < 0.3 and distance < 0.03


@pytest.mark.parametrize("known_focal", [True, False], ids=["known", "estimated"])
@pytest.mark.parametrize("seed", range(3))
def test_thirty_percent_of_outliers_and_noise(known_focal, seed):
    view = make_view(noise=0.005, outliers=0.3, seed=seed)
    estimate = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), known_focal)
    degrees, distance = errors_of(estimate)
    assert degrees < 0.3 and distance < 0.03
    assert estimate.scale == pytest.approx(SCALE, rel=0.02)
    # The inlier fraction says how many points are right: 0.7, less the tail of the noise.
    assert 0.66 < estimate.inlier_fraction < 0.74
    assert 0.1 < estimate.reprojection_error_px < 1.5


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5])
def test_frames_without_a_pointmap_of_their_own_have_pnp_alone(share):
    view = make_view(noise=0.005, outliers=share, seed=4)
    view.points_camera[:] = 0
    estimate = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), True)
    degrees, distance = errors_of(estimate)
    assert degrees < 0.5 and distance < 0.05
    assert estimate.inlier_fraction == pytest.approx(0.97 * (1 - share), abs=0.04)
    assert math.isnan(estimate.scale) and math.isnan(estimate.similarity_error)


def test_inlier_fraction_falls_with_what_is_wrong():
    fractions = [
        make_view(outliers=share)
        .estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), True)
        .inlier_fraction
        for share in (0.0, 0.2, 0.4, 0.6)
    ]
    assert np.allclose(fractions, [1.0, 0.8, 0.6, 0.4], atol=0.04)


def test_nothing_but_noise_shows_in_the_quality():
    view = make_view(outliers=1.0)
    view.points_camera[:] = np.random.default_rng(9).normal(size=view.points_camera.shape)
    estimate = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), True)
    assert estimate is None or estimate.inlier_fraction < 0.1


def test_points_that_are_not_finite_count_as_outliers():
    view = make_view()
    view.points_world[:28], view.points_world[28:56] = np.nan, np.inf
    estimate = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), True)
    assert errors_of(estimate)[1] < 0.001
    assert estimate.inlier_fraction == pytest.approx(0.5, abs=0.01)


def test_invalid_world_points_and_those_nothing_is_known_of_are_not_tested():
    view = make_view()
    view.points_world[:28] = 0
    view.points_world[28:56] += 100
    view.confidence[28:56] = 1.2  # the others have 5
    estimate = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), True)
    assert errors_of(estimate)[1] < 0.001 and estimate.inlier_fraction == 1.0


@pytest.mark.parametrize("sure", [0.5, 1.0, 1.01, 300.0])
def test_which_points_are_tested_does_not_depend_on_the_level_of_confidence(sure):
    view = make_view()
    view.confidence[:] = sure
    estimate = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), True)
    assert errors_of(estimate)[1] < 0.001 and estimate.inlier_fraction == 1.0


def test_a_tenth_of_the_image_is_enough():
    view = make_view()
    view.confidence[:], view.confidence[:, ::10] = 1.0, 5.0
    view.points_world[view.confidence == 1.0] = 50
    estimate = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), True)
    assert errors_of(estimate)[1] < 0.001 and estimate.inlier_fraction == 1.0


def test_known_intrinsics_are_used_and_can_be_refused():
    view = make_view()
    off_centre = Camera(112, 112, 150.0, 140.0, 40.0, 70.0)
    view.camera = off_centre
    y, x = np.mgrid[:112, :112].astype(float)
    rays = np.stack([(x - 40) / 150, (y - 70) / 140, np.ones_like(x)], axis=-1)
    view.points_world = transform_points(T_WORLD_CAMERA, rays * (3 + np.sin(x / 9) + (y > 50))[..., None]).astype("f4")
    view.points_camera[:] = 0
    estimate = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), True)
    assert errors_of(estimate)[1] < 0.001
    assert estimate.focal_px == pytest.approx(math.sqrt(150 * 140))
    assert math.isnan(estimate.scale) and math.isnan(estimate.similarity_error)
    refused = view.estimate(CameraPoseEstimator(PoseSettings(use_camera_info=False, inlier_threshold=0.02)), True)
    assert refused.focal_px == pytest.approx(56 / math.tan(math.radians(30)))
    assert errors_of(refused)[1] > 0.05


def test_focal_is_the_median_of_the_frames_and_forgotten_on_reset():
    estimator = CameraPoseEstimator(PoseSettings(inlier_threshold=0.02))
    for focal in (1.0, 1.1, 3.0):
        make_view(focal=focal).estimate(estimator, False)
    assert estimator.focal_px(112, 112) == pytest.approx(1.1 * 112, rel=1e-3)
    own_map_missing = make_view(focal=1.1)
    own_map_missing.points_camera[:] = 0
    assert errors_of(own_map_missing.estimate(estimator, False))[1] < 0.001
    estimator.reset()
    assert estimator.focal_px(112, 112) == pytest.approx(56 / math.tan(math.radians(30)))
    estimator.learn_focal(make_view(focal=1.3).points_camera, np.ones((112, 112), np.float32))
    assert estimator.focal_px(112, 112) == pytest.approx(1.3 * 112, rel=1e-3)
    assert estimator.focal_px(224, 224) == pytest.approx(112 / math.tan(math.radians(30)))


def test_similarity_is_the_pose_where_pnp_is_worse():
    # Intrinsics far from the truth: PnP has nothing to hold on to, the two pointmaps still agree.
    view = make_view(seed=1)
    view.points_world = transform_points(T_WORLD_CAMERA, SCALE * view.points_camera.astype(float)).astype(np.float32)
    shuffled = np.random.default_rng(0).permutation(112 * 112)
    for name in ("points_world", "points_camera"):
        setattr(view, name, getattr(view, name).reshape(-1, 3)[shuffled].reshape(112, 112, 3))
    estimate = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), True)
    degrees, distance = errors_of(estimate)
    assert degrees < 0.05 and distance < 0.005
    assert estimate.similarity_error == pytest.approx(0, abs=1e-6)
    assert estimate.inlier_fraction < 0.05, "its quality is that of its reprojection, not a kinder one"


def test_quality_names_the_disagreement_of_the_second_opinion():
    view = make_view()
    view.points_camera += np.float32([0, 0, 0.4])
    estimate = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), True)
    assert errors_of(estimate)[1] < 0.001
    assert estimate.similarity_error == pytest.approx(0.4 * SCALE / 4.2, rel=0.2)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -np.inf, 1.0, 1e30, -1e30])
@pytest.mark.parametrize("where", ["points_world", "points_camera", "both", "confidence", "confidence_camera"])
def test_nonsense_does_not_raise(value, where):
    view = make_view()
    for name in ("points_world", "points_camera") if where == "both" else (where,):
        getattr(view, name)[:] = value
    for known_focal in (True, False):
        estimate = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), known_focal)
        if where == "both":
            assert estimate is None
        if estimate is not None:
            assert np.isfinite(estimate.T_world_camera).all() and 0 <= estimate.inlier_fraction <= 1


def test_points_behind_the_camera_are_no_inliers():
    view = make_view()
    view.points_world = transform_points(T_WORLD_CAMERA, -SCALE * view.points_camera.astype(float)).astype(np.float32)
    view.points_camera = -view.points_camera
    estimate = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), True)
    assert estimate is None or estimate.inlier_fraction < 0.3


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_a_handful_of_points_does_not_raise(count):
    view = make_view()
    keep = np.random.default_rng(0).permutation(112 * 112)[:count]
    world, local = np.zeros_like(view.points_world), np.zeros_like(view.points_camera)
    world.reshape(-1, 3)[keep] = view.points_world.reshape(-1, 3)[keep]
    local.reshape(-1, 3)[keep] = view.points_camera.reshape(-1, 3)[keep]
    view.points_world, view.points_camera = world, local
    estimate = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), True)
    assert (estimate is None) == (count < 3)
    if count >= 5:
        assert errors_of(estimate)[1] < 0.01


def test_points_on_a_line_give_no_pose():
    view = make_view()
    line = np.linspace(0, 1, 112 * 112)[:, None] * np.array([1.0, 2.0, 3.0]) + [0, 0, 2]
    view.points_world = line.reshape(112, 112, 3).astype(np.float32)
    estimate = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), True)
    assert estimate is None or estimate.inlier_fraction < 0.3


@pytest.mark.parametrize("unit", [1e-4, 1e4])
def test_the_scene_unit_does_not_matter(unit):
    view = make_view(noise=0.005, outliers=0.2)
    one = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), True)
    view.points_world = (view.points_world * np.float64(unit)).astype(np.float32)
    other = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), True)
    assert other.inlier_fraction == pytest.approx(one.inlier_fraction, abs=0.002)
    assert np.allclose(other.T_world_camera[:3, 3] / unit, one.T_world_camera[:3, 3], atol=1e-3)
    assert other.scale / unit == pytest.approx(one.scale, rel=1e-3)


def test_poses_are_deterministic_and_work_is_bounded():
    view = make_view(224, noise=0.01, outliers=0.3)
    first = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), False)
    np.random.default_rng(3).normal(size=10)
    make_view(seed=5).estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), False)
    second = view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), False)
    assert np.array_equal(first.T_world_camera, second.T_world_camera)
    assert first.inlier_fraction * TUNING.pose_points == pytest.approx(
        round(first.inlier_fraction * TUNING.pose_points)
    )


def test_wrong_shapes_are_refused():
    view = make_view()
    with pytest.raises(ValueError, match="of one size"):
        CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)).estimate(
            view.points_world, view.confidence[:50], view.points_camera, view.confidence_camera
        )
    view.camera = Camera(640, 480, 500, 500, 320, 240)
    with pytest.raises(ValueError, match="camera of the crop, 112 x 112, got one of 640 x 480"):
        view.estimate(CameraPoseEstimator(PoseSettings(inlier_threshold=0.02)), True)

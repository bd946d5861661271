"""Keyframes that observe the same random landmarks, exactly, and starts that are off, for bundle adjustment."""

from __future__ import annotations

import numpy as np

from slam3r_ros.geometry.se3 import Array, rigid, transform_points
from slam3r_ros.odometry.bundle_problem import Estimate, Observations, Problem

KEYFRAMES, POINTS, SIGMA = 6, 80, 1e-3
FOCAL_PX = 220
"""Focal length of the images that the coordinates may be thought to come from: a sigma is a fifth of a pixel."""


def rotation_of(vector: Array) -> Array:
    """(3, 3) rotation by a rotation vector (3,) that is not zero, by Rodrigues' formula."""
    angle = np.linalg.norm(vector)
    k = vector / angle
    cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def scene(random: np.random.Generator) -> tuple[Array, Array]:
    """True T_camera_world (K, 4, 4) and points (N, 3) before them."""
    vectors = [np.array([0.01, 0.03 * k + 1e-3, -0.02]) for k in range(KEYFRAMES)]
    poses = [rigid(rotation_of(each), [-0.1 * k, 0.02 * k**2, 0.03 * k]) for k, each in enumerate(vectors)]
    return np.stack(poses), random.uniform([-1, -1, 2], [1, 1, 4], (POINTS, 3))


def problem_of(poses: Array, points: Array, *, scale: float = 1.0, **changes: object) -> tuple[Problem, Estimate]:
    """All keyframes see all points, anchored at the first or the third; exact, with its exact estimate."""
    seen = np.stack([transform_points(T, points) for T in poses])
    anchors = np.where(np.arange(POINTS) % 2, 0, 2)
    point, keyframe = (each.ravel() for each in np.meshgrid(np.arange(POINTS), np.arange(KEYFRAMES), indexing="ij"))
    at_anchor = seen[anchors, np.arange(POINTS)]
    observed = seen[keyframe, point]
    log_depths = np.log(np.abs(observed[:, 2]) / scale)
    observations = Observations(keyframe, point, observed[:, :2] / observed[:, 2:], log_depths)
    values: dict = {"priors": (None,) * KEYFRAMES, "fixed_keyframes": 2, "xy_sigma": SIGMA}
    problem = Problem(observations, anchors, at_anchor / at_anchor[:, 2:], **(values | changes))
    return problem, Estimate(poses, np.full(KEYFRAMES, np.log(scale)), np.log(np.abs(at_anchor[:, 2])))


def disturbed(estimate: Estimate, random: np.random.Generator, fixed: int, size: float = 0.03) -> Estimate:
    """Poses but for the first ``fixed``, scales and depths that err."""
    poses = estimate.T_camera_world.copy()
    for k in range(fixed, KEYFRAMES):
        poses[k] = rigid(rotation_of(random.normal(0, size, 3)), random.normal(0, size, 3)) @ poses[k]
    scales = estimate.log_scales + random.normal(0, 0.1, KEYFRAMES)
    return Estimate(poses, scales, estimate.log_depths + random.normal(0, 0.1, POINTS))


def badly_started(seed: int, true: Estimate, size: float) -> Estimate:
    """Poses, scales and depths that err, the depths by half."""
    random = np.random.default_rng(seed)
    start = disturbed(true, random, 2, size)
    return Estimate(start.T_camera_world, start.log_scales, true.log_depths + random.normal(0, 0.5, POINTS))

import numpy as np
import pytest
from scipy.linalg import expm

from slam3r_ros.geometry.se3 import Array, cross_matrix, rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3


def some(count: int = 12, seed: int = 0, largest: float = 3.0) -> Sim3:
    random = np.random.default_rng(seed)
    axes = random.normal(size=(count, 3))
    turns = axes / np.linalg.norm(axes, axis=1, keepdims=True) * random.uniform(0, largest, (count, 1))
    return Sim3(np.exp(random.normal(0, 0.7, count)), rotation_from_vector(turns), random.normal(0, 3, (count, 3)))


def matrices(of: Sim3) -> Array:
    """(N, 4, 4)"""
    result = np.tile(np.eye(4), (len(of), 1, 1))
    result[:, :3, :3] = of.scale[:, None, None] * of.rotation
    result[:, :3, 3] = of.translation
    return result


def test_they_are_matrices() -> None:
    one, other = some(seed=1), some(seed=2)
    np.testing.assert_allclose(matrices(one @ other), matrices(one) @ matrices(other), atol=1e-12)
    np.testing.assert_allclose(matrices(one.inverse()), np.linalg.inv(matrices(one)), atol=1e-12)
    np.testing.assert_allclose(matrices(one @ one.inverse()), np.tile(np.eye(4), (12, 1, 1)), atol=1e-12)
    points = np.random.default_rng(3).normal(size=(12, 5, 3))
    expected = np.einsum("nij,nmj->nmi", matrices(one)[:, :3, :3], points) + one.translation[:, None]
    np.testing.assert_allclose(one.apply(points), expected, atol=1e-12)
    together = one @ other
    np.testing.assert_allclose(together.apply(points), one.apply(other.apply(points)), atol=1e-11)


def test_composing_keeps_rotations_rotations() -> None:
    product = some(1)
    for seed in range(200):
        product = product @ Sim3(np.ones(1), some(1, seed).rotation, np.zeros((1, 3)))
    np.testing.assert_allclose(product.rotation[0] @ product.rotation[0].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(product.rotation[0]) == pytest.approx(1)


def test_they_are_chosen_and_joined() -> None:
    all_ = some()
    assert len(all_) == 12 and len(all_[3:5]) == 2 and len(all_[np.arange(12) > 8]) == 3
    joined = Sim3.concatenate([all_[:5], Sim3.empty(), all_[np.array([5, 6])], all_[7:]])
    np.testing.assert_array_equal(matrices(joined), matrices(all_))
    nothing = Sim3.empty()
    assert len(nothing) == len(nothing.inverse()) == len(nothing @ nothing) == 0
    assert nothing.as_vector().shape == (0, 7) and nothing.apply(np.empty((0, 2, 3))).shape == (0, 2, 3)


def test_poses_are_copied() -> None:
    T = matrices(some(3))
    of_poses = Sim3.from_pose(T)
    T[:] = 7
    assert (of_poses.scale == 1).all() and not (of_poses.rotation == 7).any() and not (of_poses.translation == 7).any()


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-8, 1e-4, 0.3, 2.0, 3.0, np.pi - 1e-4, np.pi - 1e-8, np.pi - 1e-12])
def test_vectors_tell_turns_of_any_size(angle: float) -> None:
    axes = np.random.default_rng(0).normal(size=(20, 3))
    axes = np.vstack([axes / np.linalg.norm(axes, axis=1, keepdims=True), np.eye(3)])
    rotations = rotation_from_vector(angle * axes)
    one = Sim3(np.full(23, 2.0), rotations, np.zeros((23, 3)))
    vectors = one.as_vector()
    np.testing.assert_allclose(vectors[:, :3], angle * axes, atol=1e-14 if angle < 1e-3 else 1e-7)
    np.testing.assert_allclose(vectors[:, 6], np.log(2.0))


def test_half_a_turn_is_not_taken_for_none() -> None:
    half = Sim3(np.ones(2), np.stack([np.diag([-1.0, 1, -1]), np.diag([-1.0, -1, 1])]), np.zeros((2, 3)))
    np.testing.assert_allclose(np.abs(half.as_vector()[:, :3]), [[0, np.pi, 0], [0, 0, np.pi]], atol=1e-9)


@pytest.mark.parametrize("size", [1e-9, 1e-4, 1.0])
def test_a_small_motion_is_in_ones_own_axes_and_lengths_and_comes_back_as_a_vector(size: float) -> None:
    one, vectors = some(), size * np.random.default_rng(5).uniform(-1, 1, (12, 7))
    moved = one.retract(vectors)
    np.testing.assert_allclose((one.inverse() @ moved).log(), vectors, atol=1e-9 * size + 1e-14)
    np.testing.assert_allclose(matrices(moved), matrices(one) @ matrices(Sim3.exp(vectors)), atol=1e-12)


def test_exp_is_the_matrix_exponential_and_log_its_inverse() -> None:
    tangents = (
        np.random.default_rng(8).uniform(-1, 1, (40, 7)) * np.logspace(-8, 0, 40)[:, None] * [2, 2, 1, 5, 5, 5, 1]
    )
    algebra = np.zeros((40, 4, 4))
    algebra[:, :3, :3] = cross_matrix(tangents[:, :3]) + tangents[:, 6, None, None] * np.eye(3)
    algebra[:, :3, 3] = tangents[:, 3:6]
    transforms = Sim3.exp(tangents)
    np.testing.assert_allclose(matrices(transforms), expm(algebra), atol=1e-12)
    np.testing.assert_allclose(transforms.log(), tangents, atol=1e-12)
    np.testing.assert_allclose(Sim3.exp(tangents[39]).log(), tangents[39], atol=1e-12)


def test_one_transform_is_as_one_of_a_batch() -> None:
    many, points = some(seed=1), np.random.default_rng(3).normal(size=(12, 5, 3))
    one, other, T = many[4], some(seed=2)[7], matrices(some(seed=3))
    assert one.scale.shape == ()
    np.testing.assert_allclose(one.apply(points[4]), many.apply(points)[4], atol=1e-12)
    np.testing.assert_allclose(one.apply(points[4, 0]), many.apply(points[:, 0])[4], atol=1e-12)
    np.testing.assert_allclose(one.inverse().pose, many.inverse().pose[4], atol=1e-12)
    np.testing.assert_allclose((other @ many).pose[4], (other @ one).pose, atol=1e-12)
    np.testing.assert_allclose((many @ other).pose[4], (one @ other).pose, atol=1e-12)
    np.testing.assert_allclose((many[4:5] @ many).pose, (one @ many).pose, atol=1e-12)
    np.testing.assert_allclose(one.as_vector(), many.as_vector()[4], atol=1e-12)
    np.testing.assert_allclose(one.apply_to_pose(T[4]), many.apply_to_pose(T)[4], atol=1e-12)


def test_cameras_move_with_the_points() -> None:
    worlds = some()
    cameras = some(seed=4)
    T_world_camera = cameras.pose
    moved = worlds.apply_to_pose(T_world_camera)
    np.testing.assert_allclose(moved[:, :3, 3], worlds.apply(T_world_camera[:, :3, 3]), atol=1e-12)
    inverse = worlds.apply_to_extrinsics(np.linalg.inv(T_world_camera))
    np.testing.assert_allclose(inverse, np.linalg.inv(moved), atol=1e-10)
    points = np.random.default_rng(3).normal(size=(12, 5, 3))  # as seen by the camera all lengths have grown
    seen = Sim3.from_pose(np.linalg.inv(T_world_camera)).apply(points)
    seen_after = Sim3.from_pose(np.linalg.inv(moved)).apply(worlds.apply(points))
    np.testing.assert_allclose(seen_after, worlds.scale[:, None, None] * seen, atol=1e-9)

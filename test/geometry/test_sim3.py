import numpy as np
import pytest

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Similarities, rotations_of


def some(count: int = 12, seed: int = 0, largest: float = 3.0) -> Similarities:
    random = np.random.default_rng(seed)
    axes = random.normal(size=(count, 3))
    turns = axes / np.linalg.norm(axes, axis=1, keepdims=True) * random.uniform(0, largest, (count, 1))
    return Similarities(rotations_of(turns), random.normal(0, 3, (count, 3)), np.exp(random.normal(0, 0.7, count)))


def matrices(of: Similarities) -> Array:
    """(N, 4, 4)"""
    result = np.tile(np.eye(4), (len(of), 1, 1))
    result[:, :3, :3] = of.scales[:, None, None] * of.rotations
    result[:, :3, 3] = of.shifts
    return result


def test_they_are_matrices() -> None:
    one, other = some(seed=1), some(seed=2)
    np.testing.assert_allclose(matrices(one @ other), matrices(one) @ matrices(other), atol=1e-12)
    np.testing.assert_allclose(matrices(one.inverse()), np.linalg.inv(matrices(one)), atol=1e-12)
    np.testing.assert_allclose(matrices(one @ one.inverse()), np.tile(np.eye(4), (12, 1, 1)), atol=1e-12)
    points = np.random.default_rng(3).normal(size=(12, 5, 3))
    expected = np.einsum("nij,nmj->nmi", matrices(one)[:, :3, :3], points) + one.shifts[:, None]
    np.testing.assert_allclose(one.apply(points), expected, atol=1e-12)
    together = one @ other
    np.testing.assert_allclose(together.apply(points), one.apply(other.apply(points)), atol=1e-11)


def test_composing_keeps_rotations_rotations() -> None:
    product = some(1)
    for seed in range(200):
        product = product @ Similarities(some(1, seed).rotations, np.zeros((1, 3)), np.ones(1))
    np.testing.assert_allclose(product.rotations[0] @ product.rotations[0].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(product.rotations[0]) == pytest.approx(1)


def test_they_are_chosen_and_joined() -> None:
    all_ = some()
    assert len(all_) == 12 and len(all_[3:5]) == 2 and len(all_[np.arange(12) > 8]) == 3
    joined = Similarities.joined([all_[:5], Similarities.none(), all_[np.array([5, 6])], all_[7:]])
    np.testing.assert_array_equal(matrices(joined), matrices(all_))
    nothing = Similarities.none()
    assert len(nothing) == len(nothing.inverse()) == len(nothing @ nothing) == 0
    assert nothing.vectors().shape == (0, 7) and nothing.apply(np.empty((0, 2, 3))).shape == (0, 2, 3)


def test_poses_are_copied() -> None:
    T = matrices(some(3))
    of_poses = Similarities.of_poses(T)
    T[:] = 7
    assert (of_poses.scales == 1).all() and not (of_poses.rotations == 7).any() and not (of_poses.shifts == 7).any()


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-8, 1e-4, 0.3, 2.0, 3.0, np.pi - 1e-4, np.pi - 1e-8, np.pi - 1e-12])
def test_vectors_tell_turns_of_any_size(angle: float) -> None:
    axes = np.random.default_rng(0).normal(size=(20, 3))
    axes = np.vstack([axes / np.linalg.norm(axes, axis=1, keepdims=True), np.eye(3)])
    rotations = rotations_of(angle * axes)
    one = Similarities(rotations, np.zeros((23, 3)), np.full(23, 2.0))
    vectors = one.vectors()
    np.testing.assert_allclose(vectors[:, :3], angle * axes, atol=1e-14 if angle < 1e-3 else 1e-7)
    np.testing.assert_allclose(vectors[:, 6], np.log(2.0))


def test_half_a_turn_is_not_taken_for_none() -> None:
    half = Similarities(np.stack([np.diag([-1.0, 1, -1]), np.diag([-1.0, -1, 1])]), np.zeros((2, 3)), np.ones(2))
    np.testing.assert_allclose(np.abs(half.vectors()[:, :3]), [[0, np.pi, 0], [0, 0, np.pi]], atol=1e-9)


@pytest.mark.parametrize("size", [1e-9, 1e-4, 1.0])
def test_a_small_motion_is_in_ones_own_axes_and_lengths_and_comes_back_as_a_vector(size: float) -> None:
    one, vectors = some(), size * np.random.default_rng(5).uniform(-1, 1, (12, 7))
    moved = one.moved(vectors)
    np.testing.assert_allclose((one.inverse() @ moved).vectors(), vectors, atol=1e-9 * size + 1e-14)
    step = Similarities(rotations_of(vectors[:, :3]), vectors[:, 3:6], np.exp(vectors[:, 6]))
    np.testing.assert_allclose(matrices(moved), matrices(one) @ matrices(step), atol=1e-12)

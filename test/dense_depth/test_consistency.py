from dataclasses import replace

import numpy as np
from layer_scene import depth, pose, view

from slam3r_ros.dense_depth.consistency import DepthView, consistent_depth
from slam3r_ros.dense_depth.posed_view import DepthMap
from slam3r_ros.geometry.se3 import Array

SIGMA = 0.02


def told(T: Array, noise: float = 0.0, seed: int = 0) -> DepthView:
    true = depth(T)
    noisy = true * np.exp(np.random.default_rng(seed).normal(0, noise, true.shape))
    return DepthView(view(T), DepthMap(noisy.astype(np.float32), np.full(true.shape, SIGMA, np.float32)))


OWN, NEIGHBOURS = pose(0), [pose(-0.1), pose(0.1), pose(0, 0.1)]


def test_noise_is_averaged_where_neighbours_agree() -> None:
    own = told(OWN, SIGMA, 1)
    fused = consistent_depth(own, [told(each, SIGMA, 2 + i) for i, each in enumerate(NEIGHBOURS)])
    true, known = depth(OWN), fused.is_known
    assert known.mean() > 0.9
    before, after = (np.std(np.log(each.depth[known] / true[known])) for each in (own.depth_map, fused))
    assert after < 0.75 * before
    assert (fused.sigma[known] < SIGMA).mean() > 0.9 and (fused.sigma >= SIGMA / 2).all()


def test_points_that_float_in_free_space_go() -> None:
    own = told(OWN)
    floating = own.depth_map.depth.copy()
    floating[20:60, 20:60] = 1.0  # the wall is three metres away, and the neighbours see it
    fused = consistent_depth(
        replace(own, depth_map=replace(own.depth_map, depth=floating)), [told(each) for each in NEIGHBOURS]
    )
    assert not fused.is_known[20:60, 20:60].any()
    assert fused.is_known[80:200, 20:300].mean() > 0.9


def test_a_hidden_point_is_not_contradicted() -> None:
    # Left of the board: hidden from the camera that stands to the right, seen by the other one.
    own = told(OWN)
    fused = consistent_depth(own, [told(pose(0.5)), told(pose(-0.1))])
    board = depth(OWN) < 2
    row, left = 120, int(np.flatnonzero(board[120])[0])
    assert fused.is_known[row, left - 12 : left - 3].all()


def test_without_neighbours_nothing_changes() -> None:
    own = told(OWN)
    assert consistent_depth(own, []) is own.depth_map

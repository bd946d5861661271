import numpy as np
from layer_scene import HEIGHT, MATRIX, WIDTH, pose

from slam3r_ros.dense_depth.partners import choose_partners, covisibility
from slam3r_ros.dense_depth.posed_view import PosedView
from slam3r_ros.geometry.se3 import Array

GUESS = np.full((HEIGHT, WIDTH), 2.0, np.float32)
BEST_M = 0.0875 * WIDTH * 2.0 / MATRIX[0, 0]
"""The way to the side that has the parallax that is liked best."""


def at(T: Array) -> PosedView:
    return PosedView(np.zeros((HEIGHT, WIDTH), np.uint8), MATRIX, T)


def test_covisibility_of_a_step_to_the_side() -> None:
    seen = covisibility(at(pose(0)), at(pose(0.2)), GUESS)
    assert abs(seen.parallax_px - 280 * 0.2 / 2) < 1e-6
    assert abs(seen.overlap - (1 - seen.parallax_px / WIDTH)) < 0.06 and seen.zoom == 1


def test_turning_alone_is_no_parallax() -> None:
    assert covisibility(at(pose(0)), at(pose(0, turn=0.1)), GUESS).parallax_px < 1e-6
    assert choose_partners(at(pose(0)), [at(pose(0, turn=0.1))], GUESS) == []


def test_best_parallax_first_then_from_another_side() -> None:
    ways = [0.1, 1.0, 1.05, -0.9, 6.0]
    candidates = [at(pose(way * BEST_M)) for way in ways]
    assert choose_partners(at(pose(0)), candidates, GUESS, 2) == [1, 3]


def test_images_of_elsewhere_are_no_partners() -> None:
    away = [at(pose(BEST_M, turn=np.pi)), at(pose(30.0))]
    assert choose_partners(at(pose(0)), away, GUESS) == []
    assert choose_partners(at(pose(0)), [], GUESS) == []
    assert choose_partners(at(pose(0)), [at(pose(BEST_M))], np.full_like(GUESS, np.nan)) == []

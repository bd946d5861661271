"""True overlap of two views, and what it makes of the engine's choices."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from slam3r_lab.evaluation.overlap import measure_retrieval, overlap
from slam3r_lab.sequences.truth import TruePointmap
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import rigid
from slam3r_ros.types import Registration

CAMERA = Camera(64, 64, 64.0, 64.0, 31.5, 31.5)


def view(x: float, depth: float = 2.0) -> TruePointmap:
    """A camera at (x, 0, 0) before a wall at ``depth``."""
    rays = (np.arange(64) - 31.5) / 64
    points = np.stack([*np.meshgrid(rays * depth, rays * depth), np.full((64, 64), depth)], -1).astype(np.float32)
    return TruePointmap(points, np.ones((64, 64), bool), CAMERA, rigid(np.eye(3), [x, 0, 0]))


@pytest.mark.parametrize("share", [0, 0.25, 0.5, 0.75, 1])
def test_overlap_of_a_sideways_step(share: float) -> None:
    """The image is 2 m wide at the wall."""
    assert overlap(view(0), view(2 * (1 - share) + 1e-6)) == pytest.approx(share, abs=0.07)


def test_what_is_hidden_is_not_seen() -> None:
    assert overlap(view(0, 2.0), view(0, 1.5)) == 0
    assert overlap(view(0, 2.0), view(0, 2.05)) == 1


def test_missing_depth_is_not_seen() -> None:
    other = view(0)
    other.valid[:, :32] = False
    assert overlap(view(0), other) == pytest.approx(0.5, abs=0.07)
    nothing = replace(view(0), valid=np.zeros((64, 64), bool))
    assert overlap(nothing, view(0)) == 0


def test_frames_behind_see_nothing() -> None:
    behind = replace(view(0), T_world_camera=rigid(np.diag([-1.0, 1, -1]), [0, 0, 0]))
    assert overlap(view(0), behind) == 0


def choice(scene: tuple[int, ...], scores: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4)) -> Registration:
    return Registration(registered=(9,), scene_frames=scene, candidates=(1, 2, 3, 4), candidate_scores=scores)


def test_precision_of_known_choices() -> None:
    """The frame to be registered is at 0; candidates at 0.1, 0.5, 1 and 5 m."""
    truth = {9: view(0), 1: view(0.1), 2: view(0.5), 3: view(1.0), 4: view(5.0)}
    best = measure_retrieval([choice((2, 1))], truth)
    half = measure_retrieval([choice((1, 4))], truth)
    both = measure_retrieval([choice((2, 1)), choice((1, 4))], truth)
    assert best is not None and half is not None and both is not None
    assert (best.precision, half.precision, both.precision, both.choices) == (1, 0.5, 0.75, 2)
    assert best.overlap_chosen == best.overlap_best == half.overlap_best
    assert half.overlap_chosen == pytest.approx(overlap(view(0), view(0.1)) / 2)
    assert half.overlap_random == pytest.approx(np.mean([overlap(view(0), view(x)) for x in (0.1, 0.5, 1.0, 5.0)]))


def test_shortlisted_choices_count_too() -> None:
    truth = {9: view(0), 1: view(0.1), 2: view(0.5), 3: view(1.0), 4: view(5.0)}
    measured = measure_retrieval([choice((1, 2), (0.3, 0.2, math.nan, math.nan))], truth)
    assert measured is not None and measured.precision == 1


def test_nothing_to_choose_or_nothing_known() -> None:
    truth = {9: view(0), 1: view(0.1), 2: view(0.5), 3: view(1.0), 4: view(5.0)}
    assert measure_retrieval([choice((1, 2, 3, 4), ())], truth) is None
    assert measure_retrieval([choice((1, 2))], {9: view(0)}) is None
    assert measure_retrieval([], truth) is None

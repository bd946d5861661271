"""How finely keyframes are drawn: within the budget, near ones finer, and small motions change little."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slam3r_ros.viewer.point_budget import drawn_counts


@given(
    st.lists(st.tuples(st.integers(0, 20_000), st.floats(0, 1e3)), min_size=1, max_size=50), st.integers(1, 1_000_000)
)
def test_the_sum_is_within_the_budget_and_no_keyframe_has_more_than_it_has(
    keyframes: list[tuple[int, float]], budget: int
) -> None:
    counts, distances = (np.array(values) for values in zip(*keyframes, strict=True))
    drawn = drawn_counts(counts.astype(np.int64), distances.astype(np.float64), budget)
    assert drawn.sum() <= budget
    assert (drawn >= 0).all() and (drawn <= counts).all()


def test_all_points_are_drawn_where_they_fit() -> None:
    assert drawn_counts(np.array([100, 50]), np.array([1.0, 9.0]), 150).tolist() == [100, 50]


def test_near_keyframes_are_finer_by_powers_of_two() -> None:
    counts, distances = np.full(100, 1024), np.linspace(0, 50, 100)
    drawn = drawn_counts(counts, distances, 40_000)
    assert 30_000 < drawn.sum() <= 40_000
    assert (np.diff(drawn) <= 0).all() and drawn[0] > 4 * drawn[-1]
    assert set(drawn.tolist()) <= {1024 >> halvings for halvings in range(12)}


def test_a_small_motion_changes_few() -> None:
    counts, distances = np.full(400, 12_000), np.random.default_rng(0).uniform(1, 20, 400)
    before = drawn_counts(counts, distances, 800_000)
    after = drawn_counts(counts, distances + 0.05, 800_000)
    assert (before != after).mean() < 0.1

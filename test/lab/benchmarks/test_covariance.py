"""The comparison of covariances with true errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from slam3r_lab.benchmarks.covariance import Row, compared, document


def test_deviations_that_are_those_of_the_errors_are_told_to_be() -> None:
    random, count, shift, turn = np.random.default_rng(3), 400, 0.02, 0.01
    true = np.tile(np.eye(4), (count, 1, 1))
    true[:, :3, 3] = np.cumsum(random.normal(0, 0.3, (count, 3)), axis=0)
    estimated = true.copy()
    estimated[:, :3, 3] = (true[:, :3, 3] + random.normal(0, shift, (count, 3))) / 2.5  # another unit
    estimated[:, :3, :3] = Rotation.from_rotvec(random.normal(0, turn, (count, 3))).as_matrix()
    told = np.diag([(shift / 2.5) ** 2] * 3 + [(3 * turn) ** 2] * 3)
    row = compared("walk", estimated, true, np.tile(told, (count, 1, 1)))
    assert row.frames == count
    assert row.position_error_cm == pytest.approx(100 * shift * np.sqrt(3), rel=0.06)
    assert row.position_published_cm == pytest.approx(row.position_error_cm, rel=0.06)
    assert row.rotation_error_deg == pytest.approx(np.degrees(turn * np.sqrt(3)), rel=0.06)
    assert row.rotation_published_deg == pytest.approx(3 * row.rotation_error_deg, rel=0.06), "too cautious"


def test_the_table_says_how_cautious_they_are() -> None:
    line = document([Row("walk", 90, 2.0, 3.0, 0.5, 0.25)]).splitlines()[-1]
    assert line == "| walk | 90 | 2.0, 3.0 | 1.50 | 0.50, 0.25 | 0.50 |"

"""The table of error out against error in: no error in, none out; some in, some out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slam3r_lab.benchmarks.oracle import COLUMNS, SETTINGS, measure, position_error, row, turn_error
from slam3r_lab.oracle import OracleSettings
from slam3r_lab.sequences.readers import open_sequence
from slam3r_ros.geometry.se3 import rigid, rotation_from_quat_xyzw

EXCERPT = Path(__file__).parents[2] / "data" / "hololens_excerpt"
FEW_MEMBERS = {"window.stride": 2, "window.radius": 2}


def test_errors_of_known_poses() -> None:
    rng = np.random.default_rng(0)
    true = np.array([rigid(rotation_from_quat_xyzw(rng.normal(size=4)), rng.normal(size=3)) for _ in range(20)])
    turn = rigid(rotation_from_quat_xyzw([0.1, 0.2, -0.3, 0.9]), [1.0, 2.0, 3.0])
    moved = turn @ true
    moved[:, :3, 3] *= 2.5
    assert position_error(moved, true) < 1e-9 and turn_error(moved, true) < 1e-5
    half = rotation_from_quat_xyzw([np.sin(np.radians(5)), 0, 0, np.cos(np.radians(5))])  # 10 degrees
    moved[::2, :3, :3] = moved[::2, :3, :3] @ half
    moved[1::2, :3, :3] = moved[1::2, :3, :3] @ half.T
    assert turn_error(moved, true) == pytest.approx(10, rel=0.2)


def test_no_error_in_none_out() -> None:
    measured = measure(open_sequence(EXCERPT), "exact", FEW_MEMBERS)
    lengths = (measured.ate, measured.by_pnp, measured.by_similarity, measured.by_best_fit, measured.points)
    assert max(lengths) < 1e-3 and measured.turn < 0.01 and measured.lost == 0


def test_misplaced_views_come_out_in_every_kind_of_pose() -> None:
    measured = measure(open_sequence(EXCERPT), "placement=0.05", FEW_MEMBERS)
    lengths = np.array([measured.ate, measured.by_pnp, measured.by_similarity, measured.by_best_fit])
    assert lengths.min() > 0.005 and np.ptp(lengths) < 0.1 * lengths.mean()


def test_every_setting_is_one_and_a_row_has_all_columns() -> None:
    assert all(isinstance(OracleSettings.parse(setting), OracleSettings) for setting in SETTINGS)
    assert len(row(open_sequence(EXCERPT).every(1, 23), "exact")) == len(COLUMNS)

"""Scale from the camera's way, compared with odometry."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from slam3r_ros.geometry.se3 import Array, rigid, rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.metric_scale.estimator import ScaleEstimator
from slam3r_ros.metric_scale.motion_source import MotionSource, PoseHistory

METRES_PER_UNIT = 2.5
T_BASE_CAMERA = rigid(np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]]), [0.4, 0.0, 0.3])  # ahead of the wheels
T_ODOM_MAP = rigid(rotation_from_vector([0.0, 0.0, 1.0]), [3.0, -2.0, 0.0])
Path = Callable[[float], Array]


def drive(seconds: float) -> Array:
    """(4, 4) the base on a curved way of half a metre a second."""
    heading = 0.3 * math.sin(0.5 * seconds)
    x, y = 0.5 * seconds, 0.6 * (1 - math.cos(0.5 * seconds))
    return rigid(rotation_from_vector([0.0, 0.0, heading]), [x, y, 0.0])


def in_scene(T_map_base: Array) -> Array:
    """(4, 4) pose of the camera in scene units, when the base is at ``T_map_base`` in metres."""
    T = T_map_base @ T_BASE_CAMERA
    return rigid(T[:3, :3], T[:3, 3] / METRES_PER_UNIT)


def ratio_after(
    true: Path, measured: Path, seconds: float = 30.0, known: float | None = None, source: MotionSource | None = None
) -> float | None:
    """The estimated scale when the base goes the way ``true`` and odometry measures another one."""
    source, estimator = source or MotionSource(), ScaleEstimator()
    for step in range(int(seconds * 50)):
        source.add_metric_pose(step * 20_000_000, T_ODOM_MAP @ measured(step / 50))
        if step % 5 == 0 and step > 5:
            at = (step - 3) / 50 + 0.003  # between two messages, and before the newest
            source.add_frame(round(at * 1e9), step, in_scene(true(at)), T_BASE_CAMERA)
        for observation in source.observations(known):
            estimator.add(observation)
    return None if estimator.estimate is None else estimator.estimate.metres_per_unit


def test_the_scale_is_exact_where_odometry_is() -> None:
    assert ratio_after(drive, drive, seconds=10.0) == pytest.approx(METRES_PER_UNIT, rel=0.002)  # 5 m


def test_noise_of_a_centimetre_costs_less_than_a_per_cent() -> None:
    random = np.random.default_rng(1)

    def noisy(seconds: float) -> Array:
        T = drive(seconds).copy()
        T[:3, 3] += random.normal(0, 0.01, 3)
        return T

    assert ratio_after(drive, noisy, seconds=30.0) == pytest.approx(METRES_PER_UNIT, rel=0.01)


def test_wheels_that_slip_for_nearly_half_of_the_way_do_not_spoil_it() -> None:
    def slipping(seconds: float) -> Array:
        """From 10 to 17 s of 30 the wheels turn three times as fast as the robot moves: 10 of 22 m by odometry."""
        extra = 2 * (min(max(seconds, 10.0), 17.0) - 10.0)
        T = drive(seconds).copy()
        T[0, 3] += 0.5 * extra
        return T

    assert ratio_after(drive, slipping, seconds=30.0) == pytest.approx(METRES_PER_UNIT, rel=0.03)


def test_a_robot_that_stands_gives_no_observation() -> None:
    def standing(seconds: float) -> Array:
        return drive(0.001 * math.sin(50 * seconds))

    assert ratio_after(standing, standing) is None


def test_wheels_that_spin_in_place_give_none_once_the_scale_is_known() -> None:
    def standing(seconds: float) -> Array:
        return drive(0.01 * math.sin(seconds))

    assert ratio_after(standing, drive, known=METRES_PER_UNIT) is None


def test_turning_on_the_spot_is_measured_by_the_lever_to_the_camera() -> None:
    def turning(seconds: float) -> Array:
        return rigid(rotation_from_vector([0.0, 0.0, seconds]), np.zeros(3))

    assert ratio_after(turning, turning) == pytest.approx(METRES_PER_UNIT, rel=0.005)


def test_odometry_that_stops_or_jumps_back_in_time_begins_anew() -> None:
    source = MotionSource()
    assert ratio_after(drive, drive, source=source) == pytest.approx(METRES_PER_UNIT, rel=0.002)
    source.add_frame(10**12, 1, np.eye(4), T_BASE_CAMERA)
    assert source.observations() == []  # waits for odometry that never comes
    assert ratio_after(drive, drive, source=source) == pytest.approx(METRES_PER_UNIT, rel=0.002)  # stamps from 0 again


def test_a_closed_loop_moves_what_waits_and_the_anchor() -> None:
    source, change = MotionSource(), Sim3([3.0], rotation_from_vector([0.1, 0.2, 0.3])[None], [[1.0, 2.0, 3.0]])
    source.add_metric_pose(0, np.eye(4))
    source.add_metric_pose(10**8, np.eye(4))
    source.add_frame(0, 0, np.eye(4), np.eye(4))
    assert source.observations() == []  # the anchor
    source.add_frame(2 * 10**8, 5, rigid(np.eye(3), [0.5, 0.0, 0.0]), np.eye(4))
    source.correct(MapCorrection(np.array([0]), change))
    source.add_metric_pose(2 * 10**8, rigid(np.eye(3), [0.0, 6.0, 0.0]))
    (observation,) = source.observations()
    assert math.exp(observation.log_ratio) == pytest.approx(6.0 / 1.5)
    assert observation.index == 5


def test_positions_before_and_after_a_loss_are_not_compared() -> None:
    source = MotionSource()
    for second, x in enumerate((0.0, 5.0, 10.0)):
        source.add_metric_pose(second * 10**8, rigid(np.eye(3), [x, 0.0, 0.0]))
        source.add_frame(second * 10**8, second, rigid(np.eye(3), [x, 0.0, 0.0]), np.eye(4))
        assert len(source.observations()) == (second == 2)
        if second == 0:
            source.lose()


def test_poses_are_interpolated_within_short_gaps_only() -> None:
    history = PoseHistory()
    history.add(0, np.eye(4))
    history.add(400_000_000, rigid(rotation_from_vector([0.0, 0.0, 0.8]), [1.0, 2.0, 0.0]))
    middle = history.at(100_000_000)
    assert middle is not None
    np.testing.assert_allclose(middle, rigid(rotation_from_vector([0.0, 0.0, 0.2]), [0.25, 0.5, 0.0]), atol=1e-12)
    assert history.at(-1) is None and history.at(400_000_001) is None
    np.testing.assert_array_equal(history.at(0), np.eye(4))
    history.add(2_000_000_000, np.eye(4))
    assert history.at(1_000_000_000) is None

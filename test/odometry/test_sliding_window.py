import numpy as np
import pytest

from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid, rotation_from_vector, transform_points
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.odometry.bundle_adjustment import adjust, robust_cost
from slam3r_ros.odometry.sliding_window import (
    SlidingWindow,
    WindowKeyframe,
)
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.feature_image import FeatureImage
from slam3r_ros.vision.pose_prior import PosePrior

POINTS = np.random.default_rng(0).uniform([-1, -1, 2], [1, 1, 4], (40, 3))
IMAGE = FeatureImage(np.zeros((24, 24), np.uint8), np.eye(3))
NOTHING = np.empty(0)


def camera(number: int) -> Array:
    """T_camera_world."""
    return rigid(np.eye(3), [-0.1 * number, 0, 0])


def coordinates_and_depths(T: Array, points: Array) -> tuple[Array, Array]:
    seen = transform_points(T, points)
    return seen[:, :2] / seen[:, 2:], np.log(seen[:, 2])


def window_of(keyframes: int) -> SlidingWindow:
    """Keyframes that all follow the points, which the first of them is the anchor of."""
    window = SlidingWindow()
    for number in range(keyframes):
        T = camera(number)
        xy, log_depths = coordinates_and_depths(T, POINTS)
        tracked = len(window.tracked)
        keyframe = WindowKeyframe(xy[:tracked], log_depths[:tracked], T, 0.0, None, IMAGE)
        window.add(keyframe, xy[tracked:], log_depths[tracked:], log_depths[tracked:])
    return window


def test_landmarks_keep_their_place_when_their_anchor_leaves() -> None:
    for keyframes in (1, TUNING.window_keyframes, TUNING.window_keyframes + 3):
        window = window_of(keyframes)
        assert len(window) == min(keyframes, TUNING.window_keyframes)
        np.testing.assert_allclose(window.tracked_points_world(), POINTS, atol=1e-9)
        problem, estimate = window.problem(1e-3)
        assert len(problem.observations.landmark) == len(window) * len(POINTS)
        assert problem.fixed_keyframes == (TUNING.fixed_keyframes if len(window) == TUNING.window_keyframes else 1)
        assert (np.diff(problem.observations.landmark) >= 0).all()
        np.testing.assert_allclose(estimate.T_camera_world[-1], camera(keyframes - 1))


def test_a_lost_landmark_stays_until_its_keyframes_are_gone() -> None:
    window = window_of(2)
    kept = np.arange(len(POINTS)) >= 10
    window.tracked = window.tracked[kept]
    assert (window.landmark_count, len(window.tracked)) == (40, 30)
    for number in range(2, 2 + TUNING.window_keyframes):
        xy, log_depths = coordinates_and_depths(camera(number), POINTS[kept])
        window.add(
            WindowKeyframe(xy, log_depths, camera(number), 0.0, None, IMAGE),
            np.empty((0, 2)),
            NOTHING,
            NOTHING,
        )
    assert window.landmark_count == 30
    np.testing.assert_allclose(window.tracked_points_world(), POINTS[kept], atol=1e-9)


def test_outliers_are_removed_and_their_landmarks_not_tracked() -> None:
    window = window_of(3)
    problem, _ = window.problem(1e-3)
    outliers = (problem.observations.keyframe == 2) & (problem.observations.landmark < 5)
    outliers |= (problem.observations.keyframe == 1) & (problem.observations.landmark == 7)
    kept = window.remove_observations(outliers)
    assert kept.sum() == 35 and not kept[:5].any()
    assert len(window.problem(1e-3)[0].observations.landmark) == 3 * 40 - 6


def test_a_landmark_behind_its_next_anchor_does_not_break_the_window() -> None:
    window = window_of(TUNING.window_keyframes)
    _, estimate = window.problem(1e-3)
    turned = estimate.T_camera_world.copy()
    turned[1:, :3, :3] = np.diag([-1.0, 1.0, -1.0])
    window.update(type(estimate)(turned, estimate.log_scales, estimate.log_depths))
    xy, log_depths = coordinates_and_depths(camera(9), POINTS)
    window.add(WindowKeyframe(xy, log_depths, camera(9), 0.0, None, IMAGE), np.empty((0, 2)), NOTHING, NOTHING)
    assert len(window.tracked) == 40
    assert np.isfinite(window.tracked_points_world()).all()


def test_the_number_of_landmarks_is_bounded() -> None:
    window, random = SlidingWindow(), np.random.default_rng(1)
    for number in range(30):
        window.tracked = window.tracked[random.random(len(window.tracked)) < 0.2]
        tracked = len(window.tracked)
        keyframe = WindowKeyframe(random.normal(size=(tracked, 2)), np.zeros(tracked), camera(number), 0.0, None, IMAGE)
        window.add(keyframe, random.normal(size=(120, 2)), np.zeros(120), np.zeros(120))
        assert window.landmark_count <= TUNING.window_landmarks + 2 * 120
        assert len(window) <= TUNING.window_keyframes


def test_a_new_landmark_begins_at_its_guess_whatever_its_pointmap_says() -> None:
    window = window_of(1)
    xy, log_depths = coordinates_and_depths(camera(1), POINTS)
    new_xy, guesses = np.array([[0.1, 0.2], [-0.3, 0.1], [0.0, 0.4]]), np.log([2.0, 3.0, 5.0])
    own = np.array([np.nan, np.log(7.0), np.nan])
    window.add(WindowKeyframe(xy, log_depths, camera(1), 0.7, None, IMAGE), new_xy, own, guesses)
    expected = np.column_stack([new_xy, np.ones(3)]) * np.exp(guesses)[:, None] + [0.1, 0, 0]
    np.testing.assert_allclose(window.tracked_points_world()[-3:], expected, atol=1e-12)
    problem, estimate = window.problem(1e-3)
    np.testing.assert_array_equal(problem.observations.pointmap_log_depths[-3:], own)
    np.testing.assert_array_equal(estimate.log_depths[-3:], guesses)
    assert list(problem.anchors[-3:]) == [1, 1, 1]
    assert list(window.observation_counts[window.tracked]) == [2] * 40 + [1] * 3


def test_what_a_keyframe_observes_and_how_deep_it_lies_there() -> None:
    for keyframes in (3, TUNING.window_keyframes + 2):
        window = window_of(keyframes)
        window.tracked = window.tracked[np.arange(40) >= 10]  # the keyframes observe those that are lost all the same
        for number in range(len(window)):
            xy, log_depths = window.observed_by(number)
            true = coordinates_and_depths(camera(keyframes - len(window) + number), POINTS)
            np.testing.assert_allclose(xy, true[0], atol=1e-12)
            np.testing.assert_allclose(log_depths, true[1], atol=1e-9)
    problem, estimate = window.problem(1e-3)
    outliers = (problem.observations.keyframe == 4) & (problem.observations.landmark < 7)
    window.remove_observations(outliers)
    assert [len(window.observed_by(number)[0]) for number in range(TUNING.window_keyframes)] == [
        40,
        40,
        40,
        40,
        33,
        40,
        40,
    ]
    turned = estimate.T_camera_world.copy()
    turned[3, :3, :3] = np.diag([-1.0, 1.0, -1.0])
    window.update(type(estimate)(turned, estimate.log_scales, estimate.log_depths))
    assert len(window.observed_by(3)[0]) == 0  # all are behind it now
    assert len(window.observed_by(2)[0]) == 40


def test_keyframes_are_told_apart_by_number() -> None:
    window = SlidingWindow()
    for number in range(TUNING.window_keyframes + 2):
        image = FeatureImage(np.full((24, 24), number, np.uint8), np.eye(3))
        keyframe = WindowKeyframe(np.empty((0, 2)), NOTHING, camera(number), 0.0, None, image)
        window.add(keyframe, np.empty((0, 2)), NOTHING, NOTHING)
    levels = [int(window[number].image.grey[0, 0]) for number in range(len(window))]
    assert levels == list(range(2, TUNING.window_keyframes + 2))
    assert window[len(window) - 1] is window.newest


def test_restarted_tracks_replace_the_others_and_are_anchored_where_they_were_seen() -> None:
    window = window_of(3)
    again = POINTS[:15] + np.array([0, 0, 0.5])
    xy, log_depths = coordinates_and_depths(camera(1), again)
    window.restart_tracks(1, xy, log_depths)
    np.testing.assert_allclose(window.tracked_points_world(), again, atol=1e-9)
    assert (window.landmark_count, len(window.tracked)) == (55, 15)
    assert list(window.observation_counts[window.tracked]) == [1] * 15
    assert [len(window.observed_by(number)[0]) for number in range(3)] == [40, 55, 40]
    # They are tracked on like all others, and outlive their anchor.
    for number in range(3, TUNING.window_keyframes + 3):
        xy, log_depths = coordinates_and_depths(camera(number), again)
        window.add(
            WindowKeyframe(xy, log_depths, camera(number), 0.0, None, IMAGE),
            np.empty((0, 2)),
            NOTHING,
            NOTHING,
        )
    np.testing.assert_allclose(window.tracked_points_world(), again, atol=1e-9)
    assert window.landmark_count == 15  # the others' keyframes are gone
    problem, _ = window.problem(1e-3)
    assert (problem.anchors == 0).all() and np.isfinite(problem.observations.pointmap_log_depths).all()


def test_a_window_without_tracks_keeps_the_landmarks_that_two_keyframes_observe() -> None:
    window = window_of(3)
    xy, log_depths = coordinates_and_depths(camera(3), POINTS)
    new_xy = np.array([[0.1, 0.2], [-0.3, 0.1]])
    window.add(WindowKeyframe(xy, log_depths, camera(3), 0.0, None, IMAGE), new_xy, np.zeros(2), np.zeros(2))
    assert (window.landmark_count, len(window.tracked)) == (42, 42)
    window.drop_tracks()
    assert (window.landmark_count, len(window.tracked)) == (40, 0)
    assert window.tracked_points_world().shape == (0, 3)
    for number in range(4):
        true = coordinates_and_depths(camera(number), POINTS)
        np.testing.assert_allclose(window.observed_by(number)[0], true[0], atol=1e-12)
        np.testing.assert_allclose(window.observed_by(number)[1], true[1], atol=1e-9)
    # What is tracked again and given up again leaves it so.
    window.restart_tracks(1, *coordinates_and_depths(camera(1), POINTS[:15] + np.array([0, 0, 0.5])))
    window.drop_tracks()
    assert (window.landmark_count, len(window.tracked)) == (40, 0)
    assert [len(window.observed_by(number)[0]) for number in range(4)] == [40] * 4


def seeing(shares: list[float], places: list[float]) -> SlidingWindow:
    """Keyframes at ``places`` along a line that see so much of the same 40 points; the last one sees all."""
    window = SlidingWindow()
    for number, place in enumerate(places):
        T = rigid(np.eye(3), [-place, 0, 0])
        xy, log_depths = coordinates_and_depths(T, POINTS)
        tracked = len(window.tracked)
        keyframe = WindowKeyframe(xy[:tracked], log_depths[:tracked], T, 0.0, None, IMAGE)
        window.add(keyframe, xy[tracked:], log_depths[tracked:], log_depths[tracked:])
        assert len(window) == number + 1
    problem, _ = window.problem(1e-3)
    limits = np.array(shares)[problem.observations.keyframe] * 40
    window.remove_observations(problem.observations.landmark >= limits)
    return window


def test_covisible_keyframes_see_much_of_the_same_from_farthest_and_half_as_far() -> None:
    assert seeing([1, 1, 1, 1, 1, 1], [0, 1, 2, 3, 4, 5]).covisible_keyframes() == [
        0,
        2,
    ]  # 5 and 3 from it: 2.5 is half
    assert seeing([1, 1, 1, 1], [4.9, 4.1, 0, 5]).covisible_keyframes() == [
        2,
        1,
    ]  # of the ways 0.1, 0.9 and 5: not the oldest
    assert seeing([1, 1], [0, 1]).covisible_keyframes() == [0]  # one that is both
    assert seeing([1], [0]).covisible_keyframes() == []
    assert seeing([0.3, 0.3, 0.5, 0.5, 1], [0, 1, 2, 3, 4]).covisible_keyframes() == [2, 3]  # others see too little
    assert seeing([0.3, 0.3, 1], [0, 1, 2]).covisible_keyframes() == []


MOVED = Sim3(2.5, rotation_from_vector(np.array([[0.4, -1.0, 0.3]]))[0], np.array([5.0, -2.0, 1.0]))
"""Of the world."""


def test_a_window_that_moves_with_the_world_explains_its_observations_as_well_as_before() -> None:
    window, random = SlidingWindow(), np.random.default_rng(3)
    for number in range(TUNING.window_keyframes):
        T = rigid(rotation_from_vector(random.normal(0, 0.02, (1, 3)))[0], [-0.1 * number, 0.02 * number, 0])
        xy, log_depths = coordinates_and_depths(T, POINTS)
        xy += random.normal(0, 1e-3, xy.shape)
        own = log_depths - 0.3 + random.normal(0, 0.05, len(log_depths))
        tracked = len(window.tracked)
        said = T @ rigid(rotation_from_vector(random.normal(0, 0.05, (1, 3)))[0], random.normal(0, 0.1, 3))
        prior = (None, PosePrior(None, 0.25, 0.8), PosePrior(said, 0.35, 0.5))[number % 3]
        keyframe = WindowKeyframe(xy[:tracked], own[:tracked], T, 0.3, prior, IMAGE)
        window.add(keyframe, xy[tracked:], own[tracked:], log_depths[tracked:] + 0.01)
    points, (problem, estimate) = window.tracked_points_world(), window.problem(1e-3)
    seen = [window.observed_by(number) for number in range(TUNING.window_keyframes)]
    covisible, cost = window.covisible_keyframes(), robust_cost(problem, estimate)
    window.transform(MOVED)
    np.testing.assert_allclose(window.tracked_points_world(), MOVED.apply(points), atol=1e-9)
    moved_problem, moved_estimate = window.problem(1e-3)
    assert robust_cost(moved_problem, moved_estimate) == pytest.approx(cost, rel=1e-9) and cost > 10
    for number, (xy, log_depths) in enumerate(seen):
        np.testing.assert_array_equal(window.observed_by(number)[0], xy)
        np.testing.assert_allclose(window.observed_by(number)[1], log_depths + np.log(2.5), atol=1e-9)
    assert window.covisible_keyframes() == covisible
    # What is adjusted after it is what was adjusted before it, moved.
    one, other = adjust(problem, estimate, 8), adjust(moved_problem, moved_estimate, 8)
    np.testing.assert_allclose(other.log_scales, one.log_scales + np.log(2.5), atol=1e-5)
    np.testing.assert_allclose(other.log_depths, one.log_depths + np.log(2.5), atol=1e-5)
    centres = [np.stack([invert_rigid(T)[:3, 3] for T in each.T_camera_world]) for each in (one, other)]
    np.testing.assert_allclose(centres[1], MOVED.apply(centres[0]), atol=1e-4)
    assert np.abs(one.T_camera_world - estimate.T_camera_world).max() > 1e-3

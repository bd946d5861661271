import numpy as np
import pytest

from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid, rotation_from_vector, transform_points
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.odometry.bundle_adjustment import adjust, cost_of
from slam3r_ros.odometry.sliding_window import (
    KeyframeObservation,
    SlidingWindow,
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


def slopes_and_depths(T: Array, points: Array) -> tuple[Array, Array]:
    seen = transform_points(T, points)
    return seen[:, :2] / seen[:, 2:], np.log(seen[:, 2])


def window_of(keyframes: int) -> SlidingWindow:
    """Keyframes that all follow the points, which the first of them is the anchor of."""
    window = SlidingWindow()
    for number in range(keyframes):
        T = camera(number)
        slopes, log_depths = slopes_and_depths(T, POINTS)
        followed = len(window.followed)
        sighting = KeyframeObservation(slopes[:followed], log_depths[:followed], T, 0.0, None, IMAGE)
        window.add(sighting, slopes[followed:], log_depths[followed:], log_depths[followed:])
    return window


def test_points_keep_their_place_when_their_anchor_leaves() -> None:
    for keyframes in (1, TUNING.window_keyframes, TUNING.window_keyframes + 3):
        window = window_of(keyframes)
        assert len(window) == min(keyframes, TUNING.window_keyframes)
        np.testing.assert_allclose(window.points_world(), POINTS, atol=1e-9)
        problem, estimate = window.problem(1e-3)
        assert len(problem.observations.point) == len(window) * len(POINTS)
        assert problem.fixed == (TUNING.fixed_keyframes if len(window) == TUNING.window_keyframes else 1)
        assert (np.diff(problem.observations.point) >= 0).all()
        np.testing.assert_allclose(estimate.T_camera_world[-1], camera(keyframes - 1))


def test_a_lost_point_stays_until_its_keyframes_are_gone() -> None:
    window = window_of(2)
    kept = np.arange(len(POINTS)) >= 10
    window.keep_followed(kept)
    assert (window.point_count, len(window.followed)) == (40, 30)
    for number in range(2, 2 + TUNING.window_keyframes):
        slopes, log_depths = slopes_and_depths(camera(number), POINTS[kept])
        window.add(
            KeyframeObservation(slopes, log_depths, camera(number), 0.0, None, IMAGE),
            np.empty((0, 2)),
            NOTHING,
            NOTHING,
        )
    assert window.point_count == 30
    np.testing.assert_allclose(window.points_world(), POINTS[kept], atol=1e-9)


def test_wrong_sightings_are_forgotten_and_their_points_not_followed() -> None:
    window = window_of(3)
    problem, _ = window.problem(1e-3)
    wrong = (problem.observations.keyframe == 2) & (problem.observations.point < 5)
    wrong |= (problem.observations.keyframe == 1) & (problem.observations.point == 7)
    kept = window.remove_sightings(wrong)
    assert kept.sum() == 35 and not kept[:5].any()
    assert len(window.problem(1e-3)[0].observations.point) == 3 * 40 - 6


def test_a_point_behind_its_next_anchor_does_not_break_the_window() -> None:
    window = window_of(TUNING.window_keyframes)
    _, estimate = window.problem(1e-3)
    turned = estimate.T_camera_world.copy()
    turned[1:, :3, :3] = np.diag([-1.0, 1.0, -1.0])
    window.take(type(estimate)(turned, estimate.log_scales, estimate.log_depths))
    slopes, log_depths = slopes_and_depths(camera(9), POINTS)
    window.add(KeyframeObservation(slopes, log_depths, camera(9), 0.0, None, IMAGE), np.empty((0, 2)), NOTHING, NOTHING)
    assert len(window.followed) == 40
    assert np.isfinite(window.points_world()).all()


def test_the_number_of_points_is_bounded() -> None:
    window, random = SlidingWindow(), np.random.default_rng(1)
    for number in range(30):
        window.keep_followed(np.zeros(len(window.followed), np.bool_) | (random.random(len(window.followed)) < 0.2))
        followed = len(window.followed)
        sighting = KeyframeObservation(
            random.normal(size=(followed, 2)), np.zeros(followed), camera(number), 0.0, None, IMAGE
        )
        window.add(sighting, random.normal(size=(120, 2)), np.zeros(120), np.zeros(120))
        assert window.point_count <= TUNING.window_landmarks + 2 * 120
        assert len(window) <= TUNING.window_keyframes


def test_a_fresh_point_begins_at_its_guess_whatever_its_pointmap_says() -> None:
    window = window_of(1)
    slopes, log_depths = slopes_and_depths(camera(1), POINTS)
    fresh, guesses = np.array([[0.1, 0.2], [-0.3, 0.1], [0.0, 0.4]]), np.log([2.0, 3.0, 5.0])
    told = np.array([np.nan, np.log(7.0), np.nan])
    window.add(KeyframeObservation(slopes, log_depths, camera(1), 0.7, None, IMAGE), fresh, told, guesses)
    expected = np.column_stack([fresh, np.ones(3)]) * np.exp(guesses)[:, None] + [0.1, 0, 0]
    np.testing.assert_allclose(window.points_world()[-3:], expected, atol=1e-12)
    problem, estimate = window.problem(1e-3)
    np.testing.assert_array_equal(problem.observations.log_depths[-3:], told)
    np.testing.assert_array_equal(estimate.log_depths[-3:], guesses)
    assert list(problem.anchors[-3:]) == [1, 1, 1]
    assert list(window.sightings[window.followed]) == [2] * 40 + [1] * 3


def test_what_a_keyframe_sees_and_how_deep_it_lies_there() -> None:
    for keyframes in (3, TUNING.window_keyframes + 2):
        window = window_of(keyframes)
        window.keep_followed(np.arange(40) >= 10)  # those that are lost are seen by the keyframes all the same
        for number in range(len(window)):
            slopes, log_depths = window.seen_by(number)
            true = slopes_and_depths(camera(keyframes - len(window) + number), POINTS)
            np.testing.assert_allclose(slopes, true[0], atol=1e-12)
            np.testing.assert_allclose(log_depths, true[1], atol=1e-9)
    problem, estimate = window.problem(1e-3)
    wrong = (problem.observations.keyframe == 4) & (problem.observations.point < 7)
    window.remove_sightings(wrong)
    assert [len(window.seen_by(number)[0]) for number in range(TUNING.window_keyframes)] == [40, 40, 40, 40, 33, 40, 40]
    turned = estimate.T_camera_world.copy()
    turned[3, :3, :3] = np.diag([-1.0, 1.0, -1.0])
    window.take(type(estimate)(turned, estimate.log_scales, estimate.log_depths))
    assert len(window.seen_by(3)[0]) == 0  # all are behind it now
    assert len(window.seen_by(2)[0]) == 40


def test_keyframes_are_told_apart_by_number() -> None:
    window = SlidingWindow()
    for number in range(TUNING.window_keyframes + 2):
        image = FeatureImage(np.full((24, 24), number, np.uint8), np.eye(3))
        sighting = KeyframeObservation(np.empty((0, 2)), NOTHING, camera(number), 0.0, None, image)
        window.add(sighting, np.empty((0, 2)), NOTHING, NOTHING)
    levels = [int(window[number].image.grey[0, 0]) for number in range(len(window))]
    assert levels == list(range(2, TUNING.window_keyframes + 2))
    assert window[len(window) - 1] is window.newest


def test_points_followed_again_replace_those_followed_and_are_anchored_where_they_were_seen() -> None:
    window = window_of(3)
    again = POINTS[:15] + np.array([0, 0, 0.5])
    slopes, log_depths = slopes_and_depths(camera(1), again)
    window.follow_again(1, slopes, log_depths)
    np.testing.assert_allclose(window.points_world(), again, atol=1e-9)
    assert (window.point_count, len(window.followed)) == (55, 15)
    assert list(window.sightings[window.followed]) == [1] * 15
    assert [len(window.seen_by(number)[0]) for number in range(3)] == [40, 55, 40]
    # They are followed on like all others, and outlive their anchor.
    for number in range(3, TUNING.window_keyframes + 3):
        slopes, log_depths = slopes_and_depths(camera(number), again)
        window.add(
            KeyframeObservation(slopes, log_depths, camera(number), 0.0, None, IMAGE),
            np.empty((0, 2)),
            NOTHING,
            NOTHING,
        )
    np.testing.assert_allclose(window.points_world(), again, atol=1e-9)
    assert window.point_count == 15  # the others' keyframes are gone
    problem, _ = window.problem(1e-3)
    assert (problem.anchors == 0).all() and np.isfinite(problem.observations.log_depths).all()


def test_a_window_whose_points_are_not_followed_keeps_those_that_two_keyframes_see() -> None:
    window = window_of(3)
    slopes, log_depths = slopes_and_depths(camera(3), POINTS)
    fresh = np.array([[0.1, 0.2], [-0.3, 0.1]])
    window.add(KeyframeObservation(slopes, log_depths, camera(3), 0.0, None, IMAGE), fresh, np.zeros(2), np.zeros(2))
    assert (window.point_count, len(window.followed)) == (42, 42)
    window.unfollow()
    assert (window.point_count, len(window.followed)) == (40, 0)
    assert window.points_world().shape == (0, 3)
    for number in range(4):
        true = slopes_and_depths(camera(number), POINTS)
        np.testing.assert_allclose(window.seen_by(number)[0], true[0], atol=1e-12)
        np.testing.assert_allclose(window.seen_by(number)[1], true[1], atol=1e-9)
    # What is followed again and given up again leaves it so.
    window.follow_again(1, *slopes_and_depths(camera(1), POINTS[:15] + np.array([0, 0, 0.5])))
    window.unfollow()
    assert (window.point_count, len(window.followed)) == (40, 0)
    assert [len(window.seen_by(number)[0]) for number in range(4)] == [40] * 4


def seeing(shares: list[float], places: list[float]) -> SlidingWindow:
    """Keyframes at ``places`` along a line that see so much of the same 40 points; the last one sees all."""
    window = SlidingWindow()
    for number, place in enumerate(places):
        T = rigid(np.eye(3), [-place, 0, 0])
        slopes, log_depths = slopes_and_depths(T, POINTS)
        followed = len(window.followed)
        sighting = KeyframeObservation(slopes[:followed], log_depths[:followed], T, 0.0, None, IMAGE)
        window.add(sighting, slopes[followed:], log_depths[followed:], log_depths[followed:])
        assert len(window) == number + 1
    problem, _ = window.problem(1e-3)
    limits = np.array(shares)[problem.observations.keyframe] * 40
    window.remove_sightings(problem.observations.point >= limits)
    return window


def test_partners_see_much_of_the_same_from_farthest_and_half_as_far() -> None:
    assert seeing([1, 1, 1, 1, 1, 1], [0, 1, 2, 3, 4, 5]).partners() == [0, 2]  # 5 and 3 from it: 2.5 is half
    assert seeing([1, 1, 1, 1], [4.9, 4.1, 0, 5]).partners() == [2, 1]  # of the ways 0.1, 0.9 and 5: not the oldest
    assert seeing([1, 1], [0, 1]).partners() == [0]  # one that is both
    assert seeing([1], [0]).partners() == []
    assert seeing([0.3, 0.3, 0.5, 0.5, 1], [0, 1, 2, 3, 4]).partners() == [2, 3]  # others see too little
    assert seeing([0.3, 0.3, 1], [0, 1, 2]).partners() == []


MOVED = Sim3(2.5, rotation_from_vector(np.array([[0.4, -1.0, 0.3]]))[0], np.array([5.0, -2.0, 1.0]))
"""Of the world."""


def test_a_window_that_moves_with_the_world_explains_what_it_sees_as_well_as_before() -> None:
    window, random = SlidingWindow(), np.random.default_rng(3)
    for number in range(TUNING.window_keyframes):
        T = rigid(rotation_from_vector(random.normal(0, 0.02, (1, 3)))[0], [-0.1 * number, 0.02 * number, 0])
        slopes, log_depths = slopes_and_depths(T, POINTS)
        slopes += random.normal(0, 1e-3, slopes.shape)
        own = log_depths - 0.3 + random.normal(0, 0.05, len(log_depths))
        followed = len(window.followed)
        said = T @ rigid(rotation_from_vector(random.normal(0, 0.05, (1, 3)))[0], random.normal(0, 0.1, 3))
        prior = (None, PosePrior(None, 0.25, 0.8), PosePrior(said, 0.35, 0.5))[number % 3]
        sighting = KeyframeObservation(slopes[:followed], own[:followed], T, 0.3, prior, IMAGE)
        window.add(sighting, slopes[followed:], own[followed:], log_depths[followed:] + 0.01)
    points, (problem, estimate) = window.points_world(), window.problem(1e-3)
    seen = [window.seen_by(number) for number in range(TUNING.window_keyframes)]
    partners, cost = window.partners(), cost_of(problem, estimate)
    window.transform(MOVED)
    np.testing.assert_allclose(window.points_world(), MOVED.apply(points), atol=1e-9)
    moved_problem, moved_estimate = window.problem(1e-3)
    assert cost_of(moved_problem, moved_estimate) == pytest.approx(cost, rel=1e-9) and cost > 10
    for number, (slopes, log_depths) in enumerate(seen):
        np.testing.assert_array_equal(window.seen_by(number)[0], slopes)
        np.testing.assert_allclose(window.seen_by(number)[1], log_depths + np.log(2.5), atol=1e-9)
    assert window.partners() == partners
    # What is adjusted after it is what was adjusted before it, moved.
    one, other = adjust(problem, estimate, 8), adjust(moved_problem, moved_estimate, 8)
    np.testing.assert_allclose(other.log_scales, one.log_scales + np.log(2.5), atol=1e-5)
    np.testing.assert_allclose(other.log_depths, one.log_depths + np.log(2.5), atol=1e-5)
    centres = [np.stack([invert_rigid(T)[:3, 3] for T in each.T_camera_world]) for each in (one, other)]
    np.testing.assert_allclose(centres[1], MOVED.apply(centres[0]), atol=1e-4)
    assert np.abs(one.T_camera_world - estimate.T_camera_world).max() > 1e-3

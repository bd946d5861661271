import numpy as np

from slam3r_ros.engine.geometry import Array, rigid, transform_points
from slam3r_ros.engine.tracks.window import FIXED_KEYFRAMES, WINDOW_KEYFRAMES, WINDOW_POINTS, Sighting, TrackWindow

POINTS = np.random.default_rng(0).uniform([-1, -1, 2], [1, 1, 4], (40, 3))


def camera(number: int) -> Array:
    """T_camera_world."""
    return rigid(np.eye(3), [-0.1 * number, 0, 0])


def slopes_and_depths(T: Array, points: Array) -> tuple[Array, Array]:
    seen = transform_points(T, points)
    return seen[:, :2] / seen[:, 2:], np.log(seen[:, 2])


def window_of(keyframes: int) -> TrackWindow:
    """Keyframes that all follow the points, which the first of them is the anchor of."""
    window = TrackWindow()
    for number in range(keyframes):
        T = camera(number)
        slopes, log_depths = slopes_and_depths(T, POINTS)
        followed = len(window.followed)
        sighting = Sighting(slopes[:followed], log_depths[:followed], T, 0.0, None)
        window.add(sighting, slopes[followed:], log_depths[followed:])
    return window


def test_points_keep_their_place_when_their_anchor_leaves() -> None:
    for keyframes in (1, WINDOW_KEYFRAMES, WINDOW_KEYFRAMES + 3):
        window = window_of(keyframes)
        assert len(window) == min(keyframes, WINDOW_KEYFRAMES)
        np.testing.assert_allclose(window.points_world(), POINTS, atol=1e-9)
        problem, estimate = window.problem(1e-3)
        assert len(problem.observations.point) == len(window) * len(POINTS)
        assert problem.fixed == (FIXED_KEYFRAMES if len(window) == WINDOW_KEYFRAMES else 1)
        assert (np.diff(problem.observations.point) >= 0).all()
        np.testing.assert_allclose(estimate.T_camera_world[-1], camera(keyframes - 1))


def test_a_lost_point_stays_until_its_keyframes_are_gone() -> None:
    window = window_of(2)
    kept = np.arange(len(POINTS)) >= 10
    window.keep_followed(kept)
    assert (window.point_count, len(window.followed)) == (40, 30)
    for number in range(2, 2 + WINDOW_KEYFRAMES):
        slopes, log_depths = slopes_and_depths(camera(number), POINTS[kept])
        window.add(Sighting(slopes, log_depths, camera(number), 0.0, None), np.empty((0, 2)), np.empty(0))
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
    window = window_of(WINDOW_KEYFRAMES)
    _, estimate = window.problem(1e-3)
    turned = estimate.T_camera_world.copy()
    turned[1:, :3, :3] = np.diag([-1.0, 1.0, -1.0])
    window.take(type(estimate)(turned, estimate.log_scales, estimate.log_depths))
    slopes, log_depths = slopes_and_depths(camera(9), POINTS)
    window.add(Sighting(slopes, log_depths, camera(9), 0.0, None), np.empty((0, 2)), np.empty(0))
    assert len(window.followed) == 40
    assert np.isfinite(window.points_world()).all()


def test_the_number_of_points_is_bounded() -> None:
    window, random = TrackWindow(), np.random.default_rng(1)
    for number in range(30):
        window.keep_followed(np.zeros(len(window.followed), np.bool_) | (random.random(len(window.followed)) < 0.2))
        followed = len(window.followed)
        sighting = Sighting(random.normal(size=(followed, 2)), np.zeros(followed), camera(number), 0.0, None)
        window.add(sighting, random.normal(size=(120, 2)), np.zeros(120))
        assert window.point_count <= WINDOW_POINTS + 2 * 120
        assert len(window) <= WINDOW_KEYFRAMES

from dataclasses import replace

import cv2
import numpy as np
import pytest
from plane_scene import MATRIX, SIDE, depths, image, pose

from slam3r_ros.geometry.crop import CropRegion, is_inside
from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.odometry import frame_tracker as engine_tracker
from slam3r_ros.odometry import local_mapping as engine_mapping
from slam3r_ros.odometry import visual_odometry as engine_poses
from slam3r_ros.odometry.bundle_adjustment import robust_cost
from slam3r_ros.odometry.bundle_problem import Estimate, Problem
from slam3r_ros.odometry.local_mapping import LocalMapping
from slam3r_ros.odometry.tracked_frame import OdometryInput, TrackedFrame
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.odometry.visual_odometry import VisualOdometry
from slam3r_ros.vision.feature_image import FeatureImage
from slam3r_ros.vision.pose_prior import PosePrior
from slam3r_ros.vision.relative_pose import RelativePose

SCALE = 0.5
"""World length of a unit of the pointmaps."""
SCALE_ONLY = PosePrior(None, float(np.log(SCALE)), 1.0)


def view_of(
    T_world_camera: Array,
    random: np.random.Generator,
    *,
    noise: float = 0.05,
    focal: float = 1.0,
    prior: bool = True,
) -> OdometryInput:
    """A view whose depths and prior err by ``noise``."""
    z = depths(T_world_camera) / SCALE * np.exp(random.normal(0, noise))
    z *= np.exp(random.normal(0, noise, (7, 7)).repeat(SIDE // 14, 0).repeat(SIDE // 14, 1)).astype(np.float32)
    said = rigid(np.eye(3), random.normal(0, 2 * noise, 3)) @ invert_rigid(T_world_camera)
    matrix = MATRIX * [[focal, 1, 1], [1, focal, 1], [1, 1, 1]]
    L2W = PosePrior(said, float(np.log(SCALE) + random.normal(0, noise)), 1.0) if prior else None
    return OdometryInput(image(T_world_camera), matrix, z.astype(np.float32), L2W)


Answers = list[TrackedFrame | None]


def follow(poses: list[Array], tracks: VisualOdometry | None = None, **options: float) -> tuple[Answers, Array]:
    """What the tracks answer, and L2W's positions (N, 3)."""
    random, tracks = np.random.default_rng(0), tracks or VisualOdometry()
    views = [view_of(each, random, **options) for each in poses]  # type: ignore[arg-type]
    said = [
        invert_rigid(told)[:3, 3] for view in views if view.prior and (told := view.prior.T_camera_world) is not None
    ]
    return [tracks.track_registered(view) for view in views], np.array(said)


def error(positions: Array, true: Array) -> float:
    """Root mean square after the best shift and scale, metres."""
    x, y = positions - positions.mean(axis=0), true - true.mean(axis=0)
    scale = (x * y).sum() / (x * x).sum()
    return float(np.sqrt(((scale * x - y) ** 2).sum(axis=1).mean()))


def test_corners_outside_the_networks_crop_are_tracked_too() -> None:
    """Depths of the middle of the image only: the tracks still cover the whole image, and hold the pose."""
    middle, tracks, random = CropRegion(0.25, 0.25, 0.5, 0.5), VisualOdometry(), np.random.default_rng(0)
    answers = []
    for number in range(30):
        view = view_of(pose(number), random)
        part = slice(SIDE // 8, 3 * SIDE // 8)
        answers.append(tracks.track_registered(replace(view, depths=view.depths[part, part], crop=middle)))
    found = [answer for answer in answers[1:] if answer is not None]
    true = np.array([pose(number)[:3, 3] for number in range(1, 30)])
    assert error(np.array([answer.T_world_camera[:3, 3] for answer in found]), true) < 0.02
    assert all(is_inside(answer.places).all() for answer in found)
    inside = is_inside(middle.positions(tracks.tracker.tracks.pixels, (SIDE, SIDE)))
    assert 0.1 < inside.mean() < 0.4
    columns = 4 * answers[-1].places[:, 0] if answers[-1] is not None else np.zeros(0)
    assert len(columns) > 15 and set(columns.astype(int)) == {0, 1, 2, 3}


def test_a_jagged_trajectory_becomes_smooth() -> None:
    poses = [pose(number) for number in range(40)]
    answers, said = follow(poses)
    assert answers[0] is None
    assert all(answer is not None for answer in answers[1:])
    true = np.array([each[:3, 3] for each in poses])[1:]
    positions = np.array([answer.T_world_camera[:3, 3] for answer in answers if answer is not None])
    assert error(said[1:], true) > 0.1
    assert error(positions, true) < 0.02
    steps, true_steps = np.diff(positions, axis=0), np.diff(true, axis=0)
    assert np.linalg.norm(steps - true_steps, axis=1).max() < 0.25 * np.linalg.norm(true_steps, axis=1).mean()
    # Depths err by a common factor a frame, which the tracks undo: their scale times the frame's depths is the truth.
    scales = np.array([answer.scale for answer in answers if answer is not None])
    assert np.std(np.log(scales)) > 0.03


def test_the_scale_brings_a_frames_depths_to_the_world() -> None:
    poses = [pose(number) for number in range(25)]
    random, tracks, ratios = np.random.default_rng(0), VisualOdometry(), []
    for each in poses:
        view = view_of(each, random)
        if answer := tracks.track_registered(view):
            ratios.append(float(np.median(view.depths * answer.scale / depths(each))))
    assert np.std(np.log(ratios)) < 0.03


def started(frames: int = 10, noise: float = 0.01) -> tuple[VisualOdometry, TrackedFrame, np.random.Generator]:
    """Tracks that have seen so many frames, their last answer, and what further views may err by."""
    random, tracks = np.random.default_rng(0), VisualOdometry()
    answers = [tracks.track_registered(view_of(pose(number), random, noise=noise)) for number in range(frames)]
    last = answers[-1]
    assert last is not None
    return tracks, last, random


def dark(view: OdometryInput) -> OdometryInput:
    return replace(view, grey=np.zeros_like(view.grey))


def way(one: TrackedFrame, other: TrackedFrame | None) -> Array:
    """From one camera to another in the first one's axes."""
    assert other is not None
    return (invert_rigid(one.T_world_camera) @ other.T_world_camera)[:3, 3]


def true_way(one: Array, other: Array) -> Array:
    return (invert_rigid(one) @ other)[:3, 3]


def test_tracks_go_on_without_l2w() -> None:
    random, tracks = np.random.default_rng(0), VisualOdometry()
    for number in range(10):
        tracks.track_registered(view_of(pose(number), random))
    alone = [tracks.track_registered(view_of(pose(number), random, prior=False)) for number in range(10, 20)]
    last = alone[-1]
    assert last is not None
    moved = np.linalg.norm(last.T_world_camera[:3, 3] - alone[0].T_world_camera[:3, 3])  # type: ignore[union-attr]
    assert moved == pytest.approx(np.linalg.norm(pose(19)[:3, 3] - pose(10)[:3, 3]), rel=0.2)


@pytest.mark.parametrize("frames", [1, 6])
def test_after_dark_frames_the_place_is_recognised_without_l2w(frames: int) -> None:
    tracks, last, random = started()
    for number in range(10, 10 + frames):
        assert tracks.track_registered(dark(view_of(pose(number), random, prior=False))) is None
    for number in range(10 + frames, 14 + frames):  # found, and followed on
        found = tracks.track_registered(view_of(pose(number), random, noise=0.01, prior=False))
        assert found is not None and found.points > 120 and found.error_px < 0.3
        assert np.linalg.norm(way(last, found) - true_way(pose(9), pose(number))) < 0.02
        assert found.scale == pytest.approx(SCALE, rel=0.06)
    assert TUNING.tracked_landmarks - 50 < len(tracks.tracker.tracks.pixels) <= TUNING.tracked_landmarks


def test_after_a_dark_frame_that_l2w_located_the_tracks_begin_there() -> None:
    tracks, _, random = started()
    assert tracks.track_registered(dark(view_of(pose(10), random))) is None
    assert (len(tracks.mapping._window), tracks.mapping._window.landmark_count) == (1, 0)
    begins = view_of(pose(11), random)
    assert begins.prior is not None and begins.prior.T_camera_world is not None
    assert tracks.track_registered(begins) is None
    np.testing.assert_allclose(tracks.mapping._window.newest.T_camera_world, begins.prior.T_camera_world, atol=1e-9)
    after = tracks.track_registered(view_of(pose(12), random))
    assert after is not None
    said = invert_rigid(begins.prior.T_camera_world) @ invert_rigid(pose(11)) @ pose(12)
    assert np.linalg.norm(after.T_world_camera[:3, 3] - said[:3, 3]) < 0.01


@pytest.mark.parametrize(("step", "prior"), [(10, False), (15, True), (20, False)])
def test_a_jump_that_no_corner_is_followed_over_is_found_by_features(
    step: int, prior: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks, last, random = started()
    asked = []
    estimate_relative_pose = engine_poses.estimate_relative_pose
    monkeypatch.setattr(
        engine_poses, "estimate_relative_pose", lambda *given: asked.append(given) or estimate_relative_pose(*given)
    )  # type: ignore[func-returns-value]
    for number in range(9 + step, 12 + step):
        found = tracks.track_registered(view_of(pose(number), random, noise=0.05 if prior else 0.01, prior=prior))
        true = true_way(pose(9), pose(number))
        assert np.linalg.norm(way(last, found) - true) < 0.08 * np.linalg.norm(true)
    assert len(asked) == 1  # the frames after it are followed again


@pytest.mark.parametrize("turned", [(0.0, 0.35, 0.0), (0.2, 0.0, 0.4)])
def test_after_a_sudden_turn_the_camera_is_where_it_was(turned: tuple[float, float, float]) -> None:
    tracks, last, random = started()
    T = pose(9) @ rigid(cv2.Rodrigues(np.array(turned))[0], np.zeros(3))
    found = tracks.track_registered(view_of(T, random, noise=0.01, prior=False))
    assert found is not None
    assert np.linalg.norm(way(last, found)) < 0.02  # of a depth of 2 m
    between = invert_rigid(last.T_world_camera)[:3, :3] @ found.T_world_camera[:3, :3]
    assert cv2.Rodrigues(between)[0].ravel() == pytest.approx(turned, abs=0.01)


def test_the_newest_keyframes_are_compared_and_what_they_do_not_show_is_not_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracks, _, random = started(30)
    assert len(tracks.mapping._window) == TUNING.window_keyframes
    greys = [tracks.mapping._window[number].image.grey for number in range(TUNING.window_keyframes)]
    compared: list[FeatureImage] = []

    def nothing(before: FeatureImage, after: FeatureImage, known: tuple[Array, Array]) -> RelativePose | None:
        compared.append(before)
        assert len(known[0]) == len(known[1]) > 50
        return None

    monkeypatch.setattr(engine_poses, "estimate_relative_pose", nothing)
    assert tracks.track_registered(dark(view_of(pose(30), random, prior=False))) is None
    assert [each.grey is grey for each, grey in zip(compared, greys[::-1], strict=False)] == [
        True
    ] * TUNING.recovery_keyframes
    assert tracks.track_registered(view_of(pose(31), random, prior=False)) is None  # looked for in every frame after it
    assert len(compared) == 2 * TUNING.recovery_keyframes


def test_a_place_that_only_an_older_keyframe_shows_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    tracks, last, random = started(20)
    shown = tracks.mapping._window[len(tracks.mapping._window) - TUNING.recovery_keyframes].image
    recover = engine_poses.estimate_relative_pose
    monkeypatch.setattr(
        engine_poses, "estimate_relative_pose", lambda *given: recover(*given) if given[0] is shown else None
    )
    found = tracks.track_registered(view_of(pose(30), random, noise=0.01, prior=False))
    assert np.linalg.norm(way(last, found) - true_way(pose(19), pose(30))) < 0.02
    assert (
        tracks.mapping._window[len(tracks.mapping._window) - TUNING.recovery_keyframes - 1].image is shown
    )  # and a newer one now


def test_a_recovery_that_its_own_points_contradict_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    tracks, last, random = started()

    def wild(before: FeatureImage, after: FeatureImage, known: tuple[Array, Array]) -> RelativePose:
        normalized_xy, pixels = random.normal(0, 0.3, (80, 2)), random.uniform(0, SIDE, (80, 2)).astype(np.float32)
        return RelativePose(np.eye(4), normalized_xy, np.zeros(80), pixels, np.arange(80), 1.0)

    with monkeypatch.context() as patched:
        patched.setattr(engine_poses, "estimate_relative_pose", wild)
        assert tracks.track_registered(dark(view_of(pose(10), random, prior=False))) is None
    found = tracks.track_registered(view_of(pose(20), random, noise=0.01, prior=False))
    assert np.linalg.norm(way(last, found) - true_way(pose(9), pose(20))) < 0.02


def test_a_recovery_that_is_rejected_leaves_the_window_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def sightings() -> list[int]:
        return [len(tracks.mapping._window.observed_by(number)[0]) for number in range(len(tracks.mapping._window))]

    tracks, last, random = started()
    for number in range(10, 30):
        last = tracks.track_registered(view_of(pose(number), random, noise=0.01, prior=False)) or last
    tried = list[int]()

    def wild(before: FeatureImage, after: FeatureImage, known: tuple[Array, Array]) -> RelativePose:
        tried.append(len(known[0]))
        normalized_xy, pixels = random.normal(0, 0.3, (80, 2)), random.uniform(0, SIDE, (80, 2)).astype(np.float32)
        return RelativePose(np.eye(4), normalized_xy, np.zeros(80), pixels, np.arange(80), 1.0)

    with monkeypatch.context() as patched:
        patched.setattr(engine_poses, "estimate_relative_pose", lambda *given: None)
        assert tracks.track_registered(dark(view_of(pose(30), random, prior=False))) is None
    points, seen = tracks.mapping._window.landmark_count, sightings()
    assert (tracks.mapping._window._observed.sum(axis=0) == 1).any()  # by the newest keyframe alone
    positions = [tracks.mapping._window.observed_by(number)[1] for number in range(len(tracks.mapping._window))]
    with monkeypatch.context() as patched:
        patched.setattr(engine_poses, "estimate_relative_pose", wild)
        for _ in range(2):
            assert tracks.track_registered(dark(view_of(pose(30), random, prior=False))) is None
            assert tracks.mapping._window.landmark_count == points and sightings() == seen
            assert (
                len(tracks.tracker.tracks.pixels)
                == len(tracks.tracker.tracks.pixels_at_keyframe)
                == len(tracks.mapping._window.tracked)
                == 0
            )
    assert tried == [*seen[: -TUNING.recovery_keyframes - 1 : -1]] * 2
    for number, before in enumerate(positions):
        assert np.array_equal(tracks.mapping._window.observed_by(number)[1], before)
    found = tracks.track_registered(view_of(pose(36), random, noise=0.01, prior=False))
    assert np.linalg.norm(way(last, found) - true_way(pose(29), pose(36))) < 0.01


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_recovery_that_the_networks_scale_contradicts_is_refused(sign: int) -> None:
    def tracked(off: float) -> TrackedFrame | None:
        tracks, _, random = started(5)
        view = replace(view_of(pose(15), random, noise=0.01), prior=SCALE_ONLY)
        return tracks.track_registered(replace(view, depths=view.depths * np.float32(np.exp(sign * off))))

    assert tracked(TUNING.max_recovery_scale_error - 0.2) is not None
    assert tracked(TUNING.max_recovery_scale_error + 0.2) is None


def test_keyframes_without_depth_and_prior_are_adjusted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    tracks, last, random = started()
    adjust, adjusted = engine_mapping.adjust, list[bool]()

    def spy(problem: Problem, start: Estimate, steps: int) -> Estimate:
        assert np.isfinite(start.log_scales).all() and np.isfinite(start.log_depths).all()
        result = adjust(problem, start, steps)
        adjusted.append(result is not start and robust_cost(problem, result) < robust_cost(problem, start))
        return result

    monkeypatch.setattr(engine_mapping, "adjust", spy)
    for number in range(10, 30):
        view = view_of(pose(number), random, prior=False)
        found = tracks.track_registered(replace(view, depths=np.full_like(view.depths, np.nan)))
        assert np.linalg.norm(way(last, found) - true_way(pose(9), pose(number))) < 0.02
        assert found is not None and found.scale == pytest.approx(SCALE, rel=0.05)
    assert len(adjusted) > 3 and all(adjusted)


def alone(view: OdometryInput) -> FeatureImage:
    """What `track` is given of it."""
    return FeatureImage(view.grey, view.matrix)


def test_tracking_by_the_corners_alone_is_locating_between_keyframes(monkeypatch: pytest.MonkeyPatch) -> None:
    (tracks, _, random), (other, _, _) = started(), started()
    follow, seen, between = engine_tracker.track_corners, list[bytes](), 0
    for number in range(10, 40):
        view = view_of(pose(number), random, noise=0.01)
        expected = other.track_registered(view)
        assert expected is not None
        with monkeypatch.context() as patched:
            patched.setattr(
                engine_tracker,
                "track_corners",
                lambda before, after, *corners: (
                    seen.append(after.tobytes()) or follow(before, after, *corners)  # type: ignore[func-returns-value]
                ),
            )
            advanced = tracks.track(alone(view))
            is_due = advanced is not None and advanced.is_keyframe
            again = tracks.track(alone(view)) if is_due else advanced
            found = tracks.track_registered(view) if is_due else advanced
        assert advanced is not None and again is not None
        np.testing.assert_array_equal(again.T_world_camera, advanced.T_world_camera)
        np.testing.assert_allclose(advanced.T_world_camera, expected.T_world_camera, atol=0.01 if is_due else 1e-3)
        assert found is not None and len(seen) == number - 9  # never twice
        np.testing.assert_allclose(found.T_world_camera, expected.T_world_camera, atol=1e-3)
        np.testing.assert_allclose(tracks.tracker.tracks.pixels, other.tracker.tracks.pixels, atol=1e-3)
        assert len(tracks.mapping._window) == len(other.mapping._window)
        assert is_due == (other.mapping._window.newest.image.grey is view.grey)  # became a keyframe
        if not is_due:
            between += 1
            assert advanced.scale == pytest.approx(np.exp(tracks.mapping._window.newest.log_scale))
            assert (advanced.points, advanced.share) == (expected.points, pytest.approx(expected.share))
            assert (advanced.partners, advanced.scale_ratio) == ((), 1.0)
            assert advanced.frame.image.grey is view.grey
            np.testing.assert_allclose(advanced.frame.T_camera_world, invert_rigid(advanced.T_world_camera), atol=1e-9)
    assert 10 < between < 29
    assert len(set(seen)) == len(seen)


def test_nothing_advances_before_a_beginning_and_after_the_corners_are_lost() -> None:
    random, fresh = np.random.default_rng(0), VisualOdometry()
    assert fresh.track(alone(view_of(pose(0), random))) is None
    tracks, last, random = started()
    small = view_of(pose(10), random)
    assert tracks.track(FeatureImage(small.grey[:100, :100].copy(), small.matrix)) is None
    still = tracks.track(alone(view_of(pose(9), random)))
    assert still is not None and np.linalg.norm(way(last, still)) < 1e-3
    covered = dark(view_of(pose(10), random, prior=False))
    assert tracks.track(alone(covered)) is None
    assert tracks.track_registered(covered) is None
    begun = view_of(pose(11), random, noise=0.01, prior=False)
    assert tracks.track(alone(begun)) is None  # `track_registered` has to look for it first
    found = tracks.track_registered(begun)
    assert np.linalg.norm(way(last, found) - true_way(pose(9), pose(11))) < 0.01
    after = tracks.track(alone(view_of(pose(12), random)))
    assert np.linalg.norm(way(last, after) - true_way(pose(9), pose(12))) < 0.01


def test_a_keyframe_names_those_that_see_the_same_from_elsewhere() -> None:
    tracks, _, random = started(2)
    named = 0
    for number in range(2, 40):
        view = view_of(pose(number), random, noise=0.01)
        before = len(tracks.mapping._window), tracks.mapping._window.newest
        found = tracks.track_registered(view)
        assert found is not None
        if tracks.mapping._window.newest.image.grey is not view.grey:
            assert found.partners == () and tracks.mapping._window.newest is before[1]
            continue
        np.testing.assert_allclose(found.frame.T_camera_world, tracks.mapping._window.newest.T_camera_world)
        expected = [tracks.mapping._window[partner] for partner in tracks.mapping._window.covisible_keyframes()]
        assert 1 <= len(expected) <= 2
        assert [each.image for each in found.partners] == [each.image for each in expected]
        ways = [
            np.linalg.norm(invert_rigid(each.T_camera_world)[:3, 3] - found.T_world_camera[:3, 3]) for each in expected
        ]
        assert ways[0] == max(ways) > 0.05
        named += 1
    assert named > 5


def test_a_cut_to_another_place_begins_again_where_l2w_says() -> None:
    random, tracks = np.random.default_rng(0), VisualOdometry()
    for number in range(10):
        tracks.track_registered(view_of(pose(number), random))
    elsewhere = view_of(pose(100), random)
    assert tracks.track_registered(elsewhere) is None
    after = tracks.track_registered(view_of(pose(101), random))
    assert after is not None
    there = invert_rigid(elsewhere.prior.T_camera_world)[:3, 3]  # type: ignore[union-attr, arg-type]
    assert np.linalg.norm(after.T_world_camera[:3, 3] - there) < 0.1


def test_a_prior_of_the_scale_only_begins_no_tracks_and_ends_none() -> None:
    random, fresh = np.random.default_rng(0), VisualOdometry()
    for number in range(3):
        assert fresh.track_registered(replace(view_of(pose(number), random), prior=SCALE_ONLY)) is None
        assert len(fresh.mapping._window) == 0
    tracks, last, random = started()
    for number in range(10, 14):
        assert tracks.track_registered(dark(replace(view_of(pose(number), random), prior=SCALE_ONLY))) is None
        assert len(tracks.mapping._window) > 1
    for number in range(14, 30):
        found = tracks.track_registered(replace(view_of(pose(number), random, noise=0.01), prior=SCALE_ONLY))
        true = true_way(pose(9), pose(number))
        assert np.linalg.norm(way(last, found) - true) < 0.02 + 0.03 * np.linalg.norm(true)
        assert found is not None and found.scale_ratio == pytest.approx(found.scale / SCALE, rel=1e-9)


def test_turning_on_the_spot_and_standing_still() -> None:
    turning, _ = follow([pose(number, moving=False) for number in range(40)])
    positions = np.array([answer.T_world_camera[:3, 3] for answer in turning if answer is not None])
    assert len(positions) == 39
    assert np.linalg.norm(positions - positions[0], axis=1).max() < 0.1  # of a depth of 3 m
    still, said = follow([pose(3)] * 40)
    positions = np.array([answer.T_world_camera[:3, 3] for answer in still if answer is not None])
    assert np.linalg.norm(positions - positions[0], axis=1).max() < 0.01 < np.linalg.norm(np.std(said, axis=0))


def test_a_wrong_focal_length_costs_little() -> None:
    poses = [pose(number) for number in range(40)]
    answers, said = follow(poses, focal=1.15)
    positions = np.array([answer.T_world_camera[:3, 3] for answer in answers if answer is not None])
    true = np.array([each[:3, 3] for each in poses])[1:]
    assert len(positions) == 39
    assert error(positions, true) < 0.6 * error(said[1:], true)


@pytest.mark.parametrize(("sigma_factor", "followed"), [(1.0, (0, 0.2)), (1e-5, (0.3, 0.5))])
def test_while_the_window_fills_the_scale_that_was_published_stays_but_for_an_l2w_that_is_trusted(
    sigma_factor: float, followed: tuple[float, float]
) -> None:
    """L2W's scale is another one from the second frame on."""
    random, tracks, moved = np.random.default_rng(0), VisualOdometry(), 0.4
    for number in range(40):
        view = view_of(pose(number), random, noise=0.01)
        prior = PosePrior(None, float(np.log(SCALE)) + moved * (number > 0), sigma_factor)
        if number == 0:
            assert view.prior is not None
            prior = replace(view.prior, log_scale=float(np.log(SCALE)), sigma_factor=sigma_factor)
        answer = tracks.track_registered(replace(view, prior=prior))
        if tracks.mapping._window.is_full:
            break
    assert number > 10 and answer is not None
    assert followed[0] <= abs(np.log(answer.scale / SCALE)) < followed[1]


def test_exact_answers_of_l2w_stay_exact() -> None:
    random, tracks = np.random.default_rng(0), VisualOdometry()
    for number in range(30):
        view = view_of(pose(number), random, noise=0.0)
        said = PosePrior(invert_rigid(pose(number)), float(np.log(SCALE)), 1e-5)
        answer = tracks.track_registered(OdometryInput(view.grey, view.matrix, view.depths, said))
        if answer is not None:
            assert np.abs(answer.T_world_camera - pose(number)).max() < 1e-3
            assert answer.scale_ratio == pytest.approx(1, abs=2e-3)


def test_holes_in_the_depth_and_other_sizes_of_image() -> None:
    random, tracks = np.random.default_rng(0), VisualOdometry()
    answers = []
    for number in range(20):
        view = view_of(pose(number), random)
        holed = view.depths.copy()
        holed[:, : holed.shape[1] // 2] = np.nan
        answers.append(tracks.track_registered(OdometryInput(view.grey, view.matrix, holed, view.prior)))
    assert all(answer is not None for answer in answers[1:])
    nothing = OdometryInput(view.grey, view.matrix, np.full_like(view.depths, np.nan), view.prior)
    fresh = VisualOdometry()
    assert [fresh.track_registered(nothing) for _ in range(3)] == [None] * 3
    small = OdometryInput(view.grey[:100, :100].copy(), view.matrix, view.depths, view.prior)
    assert tracks.track_registered(small) is None


@pytest.mark.parametrize("prior", ["pose", "scale"])
def test_where_the_pointmap_says_nothing_fresh_corners_take_the_depths_around_them(prior: str) -> None:
    tracks, last, random = started()
    for number in range(10, 60):
        view = view_of(pose(number), random)
        bare = replace(
            view, depths=np.full_like(view.depths, np.nan), prior=view.prior if prior == "pose" else SCALE_ONLY
        )
        found = tracks.track_registered(bare)
        assert found is not None and found.points > 120
        assert np.linalg.norm(way(last, found) - true_way(pose(9), pose(number))) < 0.08  # of a way of 1.5 m
    assert len(tracks.tracker.tracks.pixels) > TUNING.tracked_landmarks - 40
    # The depths that they end with are their own: the wall is slanted.
    tracker = tracks.tracker
    z = tracker.depths(tracks.mapping.newest.T_camera_world)
    twice = tracker.local_map.observations[tracker.tracks.rows] > 2
    columns, rows = np.rint(tracker.tracks.pixels_at_keyframe[twice]).astype(int).T // 2
    ratios = np.log(z[twice] / depths(pose(59))[rows, columns])
    assert twice.sum() > 100 and np.std(ratios) < 0.02


def test_a_depth_is_guessed_only_where_there_is_none() -> None:
    tracks, _, _ = started()
    T = tracks.mapping._window.newest.T_camera_world
    pixels = tracks.tracker.tracks.pixels[[3, 30, 60]] + np.float32(0.5)
    told = np.array([np.nan, np.log(7.0), np.nan])
    guessed = tracks.mapping._guessed_log_depths(T, tracks.tracker.tracks.pixels, pixels, told)
    z = tracks.mapping._window.tracked_points_world() @ T[2, :3] + T[2, 3]
    assert guessed == pytest.approx([np.log(z[3]), np.log(7.0), np.log(z[60])])
    behind = T.copy()
    behind[:3, :3] = np.diag([-1.0, 1.0, -1.0]) @ T[:3, :3]
    tracked = tracks.tracker.tracks.pixels
    assert np.array_equal(tracks.mapping._guessed_log_depths(behind, tracked, pixels, told), told, equal_nan=True)
    nothing = LocalMapping()._guessed_log_depths(T, pixels[:0], pixels, told)
    assert np.array_equal(nothing, told, equal_nan=True)


def test_memory_is_bounded_and_reset_forgets() -> None:
    tracks, random = VisualOdometry(), np.random.default_rng(0)
    for number in range(60):
        tracks.track_registered(view_of(pose(number), random))
        assert len(tracks.mapping._window) <= TUNING.window_keyframes
        assert tracks.mapping._window.landmark_count <= TUNING.window_landmarks + TUNING.tracked_landmarks
        assert len(tracks.tracker.tracks.pixels) <= TUNING.tracked_landmarks
    tracks.reset()
    assert len(tracks.mapping._window) == 0
    first, second = follow([pose(number) for number in range(8)], tracks), follow([pose(number) for number in range(8)])
    for one, other in zip(first[0], second[0], strict=True):
        assert (one is None) == (other is None)
        assert one is None or other is None or np.array_equal(one.T_world_camera, other.T_world_camera)


MOVED = Sim3(1.7, cv2.Rodrigues(np.array([0.3, -0.8, 0.2]))[0], np.array([4.0, 1.0, -2.0]))
"""Of the world."""


def moved_view(view: OdometryInput) -> OdometryInput:
    """The view as L2W sees it in a world that has been moved."""
    return view if view.prior is None else replace(view, prior=view.prior.transformed(MOVED))


@pytest.mark.parametrize("prior", [True, False])
def test_after_the_world_was_moved_the_poses_are_the_moved_ones(prior: bool) -> None:
    (tracks, _, random), (other, _, other_random) = started(14), started(14)
    other.transform(MOVED)
    for number in range(14, 26):
        view = view_of(pose(number), random, noise=0.02, prior=prior)
        moved = moved_view(view_of(pose(number), other_random, noise=0.02, prior=prior))
        if number in (17, 18):
            expected, found = tracks.track(alone(view)), other.track(alone(moved))
            assert (expected is None) == (found is None)
        if number not in (17, 18) or expected is None or found is None:
            expected, found = tracks.track_registered(view), other.track_registered(moved)
        assert expected is not None and found is not None
        np.testing.assert_allclose(found.T_world_camera[:3, 3], MOVED.apply(expected.T_world_camera[:3, 3]), atol=5e-3)
        turned = MOVED.rotation @ expected.T_world_camera[:3, :3]
        np.testing.assert_allclose(found.T_world_camera[:3, :3], turned, atol=2e-3)
        assert found.scale == pytest.approx(1.7 * expected.scale, rel=2e-3)
        assert (found.is_keyframe, found.points) == (expected.is_keyframe, expected.points)
        np.testing.assert_allclose(found.depths, 1.7 * expected.depths, rtol=5e-3)


@pytest.mark.parametrize("scale", [1.7, float(np.exp(TUNING.max_recovery_scale_error + 0.3))])
def test_what_was_lost_is_found_again_in_the_moved_world(scale: float) -> None:
    tracks, last, random = started()
    moved = replace(MOVED, scale=scale)
    T = last.T_world_camera
    there = replace(last, T_world_camera=rigid(moved.rotation @ T[:3, :3], moved.apply(T[:3, 3])))
    assert tracks.track_registered(dark(view_of(pose(10), random, prior=False))) is None
    tracks.transform(moved)
    found = tracks.track_registered(view_of(pose(14), random, noise=0.01, prior=False))
    assert np.linalg.norm(way(there, found) - scale * true_way(pose(9), pose(14))) < 0.02 * scale
    assert found is not None and found.scale == pytest.approx(scale * SCALE, rel=0.06)


def test_what_is_expected_of_the_next_frame_moves_too() -> None:
    tracks, _, _ = started()
    assert tracks.tracker._last_T is not None
    expected = MOVED.apply_to_extrinsics(tracks.tracker._motion @ tracks.tracker._last_T)
    assert np.linalg.norm(tracks.tracker._motion[:3, 3]) > 0.01
    tracks.transform(MOVED)
    np.testing.assert_allclose(tracks.tracker._motion @ tracks.tracker._last_T, expected, atol=1e-9)


def test_tracks_that_have_not_begun_can_be_moved_too() -> None:
    VisualOdometry().transform(MOVED)


def test_what_a_start_that_knows_nothing_finds_is_taken_before_the_next_keyframe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here it finds the same window elsewhere, in a world that has been shifted and turned."""
    shift, found = rigid(cv2.Rodrigues(np.array([0.0, 0.2, 0.0]))[0], [3.0, 1.0, 0.0]), list[int]()

    def elsewhere(problem: Problem, estimate: Estimate, steps: int) -> Estimate:
        found.append(len(problem.priors))
        if len(found) > 1:
            return estimate
        return replace(estimate, T_camera_world=estimate.T_camera_world @ invert_rigid(shift))

    monkeypatch.setattr(engine_mapping, "adjust_from_scratch", elsewhere)
    random, tracks, answers, keyframes = np.random.default_rng(0), VisualOdometry(), list[TrackedFrame](), list[int]()
    number = 0
    while len(tracks.mapping._window) < TUNING.window_keyframes:
        view = replace(view_of(pose(number), random, noise=0.0), prior=SCALE_ONLY if number else PosePrior(
            invert_rigid(pose(0)), float(np.log(SCALE)), 1.0))  # fmt: skip
        if answer := tracks.track_registered(view):
            answers.append(answer)
            keyframes += [number] if answer.is_keyframe else []
        number += 1
    assert found == list(range(2, TUNING.window_keyframes))  # not while there is one keyframe, nor with a full window
    for frame, answer in enumerate(answers, 1):
        before = frame < keyframes[1]  # until the second keyframe after the first the world is the old one
        expected = pose(frame) if before else shift @ pose(frame)
        np.testing.assert_allclose(answer.T_world_camera, expected, atol=0.05)

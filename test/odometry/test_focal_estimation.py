from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from plane_scene import MATRIX, SIDE, depths, encoded_frame, image, pose, refined, refinement

from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid, transform_points
from slam3r_ros.odometry import focal_estimation as calibration
from slam3r_ros.odometry.bundle_adjustment import adjust
from slam3r_ros.odometry.bundle_problem import Estimate, Observations, Problem
from slam3r_ros.odometry.focal_estimation import (
    FocalSelfCalibration,
    estimate_log_focal_change,
    with_larger_coordinates,
)
from slam3r_ros.odometry.sliding_window import SlidingWindow, WindowKeyframe
from slam3r_ros.odometry.tracked_frame import OdometryInput
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.odometry.visual_odometry import VisualOdometry
from slam3r_ros.settings import PoseSettings
from slam3r_ros.types import HostPointmaps, LocalPointmap, PoseEstimate, RegisteredFrame, State
from slam3r_ros.vision.feature_image import FeatureImage
from slam3r_ros.vision.pose_prior import PosePrior

KEYFRAMES, POINTS, FOCAL_PX = 6, 80, 220.0
NOTHING = torch.empty(0)
Found = tuple[float, float] | None


def turn(x: float, y: float, z: float) -> Array:
    return np.asarray(cv2.Rodrigues(np.array([x, y, z]))[0])


def window_seen(
    assumed: float, *, seed: int = 0, noise_px: float = 0.0, wall: bool = False
) -> tuple[Problem, Estimate]:
    """Keyframes that all see the same points, through a camera whose focal length is taken to be ``assumed`` times what
    it is; with the true poses and depths to begin with. A ``wall``: straight before a plane, without a rotation."""
    random = np.random.default_rng(seed)
    points = random.uniform([-1, -1, 1.5], [1, 1, 4.5], (POINTS, 3))
    if wall:
        points[:, 2] = 3.0
    turns = [np.eye(3) if wall else turn(0.08 * np.sin(k + seed), 0.12 * k - 0.2, 0.05 * k) for k in range(KEYFRAMES)]
    ways = [[-0.15 * k, 0.05 * np.sin(k + seed), 0.0 if wall else 0.06 * k] for k in range(KEYFRAMES)]
    poses = np.stack([rigid(R, t) for R, t in zip(turns, ways, strict=True)])
    seen = np.stack([transform_points(T, points) for T in poses])
    xy = seen[..., :2] / seen[..., 2:] + random.normal(0, noise_px / FOCAL_PX, (KEYFRAMES, POINTS, 2))
    point, keyframe = (each.ravel() for each in np.meshgrid(np.arange(POINTS), np.arange(KEYFRAMES), indexing="ij"))
    observations = Observations(keyframe, point, xy[keyframe, point] / assumed, np.log(seen[keyframe, point, 2]))
    rays = np.column_stack([xy[0] / assumed, np.ones(POINTS)])
    anchors = np.zeros(POINTS, np.intp)
    problem = Problem(observations, anchors, rays, (None,) * KEYFRAMES, 1, 0.25 / FOCAL_PX / assumed)
    start = Estimate(poses, np.zeros(KEYFRAMES), np.log(seen[0, :, 2]))
    return problem, adjust(problem, start, 20)


@pytest.mark.parametrize("assumed", [1 / 1.4, 1 / 1.15, 1.0, 1.15, 1.4])
def test_a_wrong_focal_length_is_found_to_two_per_cent(assumed: float) -> None:
    found = estimate_log_focal_change(*window_seen(assumed))
    assert found is not None
    change, information = found
    assert change == pytest.approx(-np.log(assumed), abs=0.02)
    assert information > TUNING.focal_min_information


@pytest.mark.parametrize(("assumed", "seed"), [(1 / 1.4, 1), (1.15, 2), (1.4, 3)])
def test_corners_a_quarter_of_a_pixel_off_give_it_to_five_per_cent(assumed: float, seed: int) -> None:
    found = estimate_log_focal_change(*window_seen(assumed, seed=seed, noise_px=0.25))
    assert found is not None
    assert found[0] == pytest.approx(-np.log(assumed), abs=0.05)
    assert abs(found[0] + np.log(assumed)) < 4 / np.sqrt(found[1])  # as surely as it says


@pytest.mark.parametrize("noise_px", [0.0, 0.25])
@pytest.mark.parametrize("assumed", [1.0, 1.15])
def test_moving_straight_before_a_wall_gives_nothing(assumed: float, noise_px: float) -> None:
    assert estimate_log_focal_change(*window_seen(assumed, noise_px=noise_px, wall=True)) is None


def test_larger_coordinates_are_those_of_the_same_pixels_under_a_smaller_focal_length() -> None:
    problem, _ = window_seen(1.0)
    changed = with_larger_coordinates(replace(problem, fixed_keyframes=2), 1.1)
    np.testing.assert_allclose(changed.observations.normalized_xy, 1.1 * problem.observations.normalized_xy)
    np.testing.assert_allclose(changed.anchor_rays, problem.anchor_rays * [1.1, 1.1, 1])
    assert changed.xy_sigma == pytest.approx(1.1 * problem.xy_sigma)
    assert changed.fixed_keyframes == 1
    assert np.array_equal(changed.observations.pointmap_log_depths, problem.observations.pointmap_log_depths)


class Search(FocalSelfCalibration):
    """A self-calibration whose windows give what the test chooses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, keyframes: int = TUNING.focal_min_keyframes) -> None:
        super().__init__()
        self.asked = 0
        self._said: Found = None
        self._problem, self._estimate = window_seen(1.0)
        self._problem = replace(self._problem, priors=(None,) * keyframes)
        monkeypatch.setattr(calibration, "estimate_log_focal_change", self._lowest)

    def _lowest(self, problem: Problem, estimate: Estimate) -> Found:
        self.asked += 1
        return self._said

    def keyframe(self, focal: float, says: float | None, information: float = 1000.0) -> float | None:
        """What is found with the next keyframe, if its window says ``says``."""
        self._said = None if says is None else (float(np.log(says / focal)), information)
        answer = self.observe(self._problem, self._estimate, focal)
        if self._evaluation.is_pending:
            self._evaluation.exception()  # waits for it, before the next
        return answer

    def window(self, focal: float, says: float | None, information: float = 1000.0) -> float | None:
        """The same, returned with the next keyframe, after keyframes whose windows are not evaluated."""
        answers = [self.keyframe(focal, says, information) for _ in range(TUNING.focal_keyframe_interval)]
        assert answers[:1] + answers[2:] == [None] * (TUNING.focal_keyframe_interval - 1)
        return answers[1]


def test_one_bad_window_among_several_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    search, focal = Search(monkeypatch), 200.0
    for says in (220.0, 221.0, 219.0, 100.0, 220.5, 500.0):
        focal = search.window(focal, says) or focal
    assert focal == pytest.approx(220.0, rel=0.01)
    # Nor does one that is surer of itself than any can be.
    focal = search.window(focal, 110.0, 1e9) or focal
    for _ in range(4):
        focal = search.window(focal, 220.0, 5000.0) or focal
    assert focal == pytest.approx(220.0, rel=0.01)


def test_windows_count_as_far_as_they_are_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    search, focal = Search(monkeypatch), 200.0
    for says, information in ((150.0, 500.0), (150.0, 500.0), (150.0, 500.0), (220.0, 9000.0)):
        focal = search.window(focal, says, information) or focal
    assert focal == pytest.approx(220.0)


def test_it_is_complete_after_enough_windows_and_evaluates_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(monkeypatch)
    assert search.window(200.0, 220.0, 3000.0) == pytest.approx(220.0)
    assert search.window(220.0, None) is None  # tells nothing: not heard
    assert search.window(220.0, 220.5) is None  # no better one
    for _ in range(TUNING.focal_enough_windows - 2):
        assert not search.is_complete
        search.window(220.0, 220.0)
    assert search.is_complete
    assert search.asked == TUNING.focal_enough_windows + 1
    for _ in range(3 * TUNING.focal_keyframe_interval):
        assert search.keyframe(220.0, 300.0) is None
    assert search.asked == TUNING.focal_enough_windows + 1


def test_one_window_that_tells_little_changes_nothing_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(monkeypatch)
    assert search.window(200.0, 165.0, TUNING.focal_enough_information / 2 - 1) is None
    assert search.window(200.0, 165.0, TUNING.focal_enough_information / 2 + 1) == pytest.approx(165.0)


def test_a_window_of_few_keyframes_is_not_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(monkeypatch, TUNING.focal_min_keyframes - 1)
    assert [search.keyframe(200.0, 220.0) for _ in range(8)] == [None] * 8
    assert search.asked == 0


def test_the_same_image_with_other_intrinsics() -> None:
    before, matrix = FeatureImage(image(pose(0)), MATRIX), np.array([[250, 0, 110.0], [0, 240, 113.0], [0, 0, 1]])
    assert "features" not in before.with_matrix(matrix).__dict__  # described only if that has been done
    features = before.features
    after = before.with_matrix(matrix)
    assert after.features is features and after.grey is before.grey and after.matrix is matrix
    assert before.matrix is MATRIX


def test_a_window_sees_all_with_other_intrinsics() -> None:
    window, random = SlidingWindow(), np.random.default_rng(0)
    here = FeatureImage(np.zeros((24, 24), np.uint8), MATRIX)
    pixels = random.uniform(0, SIDE, (3, 30, 2))
    for number in range(3):
        xy, z, T = (
            here.normalized_xy(pixels[number]),
            np.log(random.uniform(2, 4, 30)),
            rigid(np.eye(3), [0.1 * number, 0, 0]),
        )
        tracked = len(window.tracked)
        keyframe = WindowKeyframe(xy[:tracked], z[:tracked], T, 0.0, None, here)
        window.add(keyframe, xy[tracked:], z[tracked:], z[tracked:])
    before, estimate = window.problem(1e-3)
    rays = before.anchor_rays.copy()
    matrix = MATRIX * [[1.25, 1, 1], [1, 1.2, 1], [1, 1, 1]] + [[0, 0, 7.0], [0, 0, -5.0], [0, 0, 0]]
    window.change_intrinsics(matrix)
    after, same = window.problem(1e-3)
    other = here.with_matrix(matrix)
    seen = pixels[after.observations.keyframe, after.observations.landmark]
    np.testing.assert_allclose(after.observations.normalized_xy, other.normalized_xy(seen))
    anchored = rays[:, :2] * [MATRIX[0, 0], MATRIX[1, 1]] + MATRIX[:2, 2]
    np.testing.assert_allclose(after.anchor_rays[:, :2], other.normalized_xy(anchored))
    assert (after.anchor_rays[:, 2] == 1).all()
    assert np.array_equal(same.log_depths, estimate.log_depths)
    assert np.array_equal(same.T_camera_world, estimate.T_camera_world)
    for number in range(3):
        assert window[number].image.matrix is matrix
        expected = other.normalized_xy(pixels[number])[: len(window[number].normalized_xy)]
        np.testing.assert_allclose(window[number].normalized_xy, expected)
    kept = after.anchors.copy(), after.anchor_rays.copy(), same.log_depths.copy()
    window._anchors[:], window._anchor_rays[:], window._log_depths[:] = 1, 7.0, 7.0
    for one, other in zip(kept, (after.anchors, after.anchor_rays, same.log_depths), strict=True):
        assert np.array_equal(one, other)  # a snapshot does not see later changes
    window._anchors[:], window._anchor_rays[:], window._log_depths[:] = kept
    window.change_intrinsics(MATRIX)  # and back
    np.testing.assert_allclose(window.problem(1e-3)[0].observations.normalized_xy, before.observations.normalized_xy)


def on_a_curve(number: int) -> Array:
    """T_world_camera before the wall, turning more than `plane_scene.pose`."""
    angle = 1.5 * number
    R = turn(0.15 * np.sin(angle / 7), 0.3 * np.sin(angle / 9.8 + 1), 0.18 * np.sin(angle / 5))
    return rigid(R, [0.5 * np.sin(angle / 9), 0.3 * np.sin(angle / 6), 0.4 * np.sin(angle / 11)])


def tracked_with(assumed: float, *, is_calibrated: bool, frames: int = 40) -> tuple[float, float, VisualOdometry]:
    """The focal length at the end over the true one, and the error of the last 20 positions, metres, after the best
    shift and scale."""
    random, tracks, factor = np.random.default_rng(0), VisualOdometry(), assumed
    found, true = [], []
    for number in range(frames):
        T = on_a_curve(number)
        z = depths(T) * np.exp(random.normal(0, 0.05))
        said = rigid(np.eye(3), random.normal(0, 0.1, 3)) @ invert_rigid(T)
        matrix = MATRIX * [[factor, 1, 1], [1, factor, 1], [1, 1, 1]]
        answer = tracks.track_registered(
            OdometryInput(image(T), matrix, z, PosePrior(said, 0.0, 1.0), is_calibrated=is_calibrated)
        )
        if answer is not None:
            factor = answer.frame.image.matrix[0, 0] / FOCAL_PX
            found.append(answer.T_world_camera[:3, 3])
            true.append(T[:3, 3])
    assert len(found) == frames - 1
    x, y = (each - each.mean(axis=0) for each in (np.array(found[-20:]), np.array(true[-20:])))
    return factor, float(np.sqrt((((x * y).sum() / (x * x).sum() * x - y) ** 2).sum(axis=1).mean())), tracks


@pytest.mark.parametrize("assumed", [0.8, 1.2])
def test_tracks_find_the_focal_length_and_the_trajectory_with_it(assumed: float) -> None:
    wrong, error_wrong, _ = tracked_with(assumed, is_calibrated=True)
    assert wrong == assumed
    focal, error, _ = tracked_with(assumed, is_calibrated=False)
    assert focal == pytest.approx(1.0, abs=0.02)
    assert error < 0.7 * error_wrong


def test_with_known_intrinsics_no_focal_length_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*given: object) -> None:
        raise AssertionError("a window is asked")

    monkeypatch.setattr(FocalSelfCalibration, "observe", asked)
    focal, error, tracks = tracked_with(1.0, is_calibrated=True, frames=25)
    assert focal == 1.0 and error < 0.01
    assert len(tracks.mapping._window) >= TUNING.focal_min_keyframes
    with pytest.raises(AssertionError, match="a window is asked"):
        tracked_with(1.0, is_calibrated=False, frames=25)


HALF = SIDE // 2
CAMERA = Camera(SIDE, SIDE, MATRIX[0, 0], MATRIX[1, 1], MATRIX[0, 2], MATRIX[1, 2]).scaled(HALF, HALF)


def keyframe(number: int, focal_px: float, camera: Camera | None) -> RegisteredFrame:
    """Frame ``number`` as L2W answers it, with a pose of that focal length, pixels of the crop."""
    T, v_u = pose(number), np.mgrid[:HALF, :HALF]
    xy = (v_u[::-1].transpose(1, 2, 0) - (HALF - 1) / 2) / focal_px
    points = (np.concatenate([xy, np.ones((HALF, HALF, 1))], axis=2) * depths(T)[..., None]).astype(np.float32)
    world, full = transform_points(T, points).astype(np.float32), np.full((HALF, HALF), 5.0, np.float32)
    host = HostPointmaps(world, full, points, full, np.full((HALF, HALF), True))
    frame = encoded_frame(number, np.zeros((HALF, HALF, 3), np.uint8), camera, image(T))
    local = LocalPointmap(frame, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)
    estimate = PoseEstimate(T, focal_px, 0.9, 2.0, 1.0, 0.01)
    return RegisteredFrame(
        local, torch.from_numpy(world), NOTHING, host, 5.0, 5.0, None, estimate, State.TRACKING, False
    )


def test_the_stage_reports_the_focal_length_that_its_tracks_have_found(monkeypatch: pytest.MonkeyPatch) -> None:
    better: list[float] = []
    monkeypatch.setattr(
        FocalSelfCalibration, "observe", lambda search, problem, estimate, focal: better.pop() if better else None
    )
    stage = refinement()
    assert stage.focal_px(keyframe(0, 100.0, None).local.frame) is None  # none yet
    for number in range(20):
        result = refined(stage, keyframe(number, 100.0, None))
        assert stage.focal_px(result.local.frame) == pytest.approx(100.0)  # the first pose's
    better.append(2 * 104.0)  # of the grey image, which is twice as wide
    for number in range(20, 35):
        result = refined(stage, keyframe(number, 100.0, None))
    assert not better
    assert stage.focal_px(result.local.frame) == pytest.approx(104.0)
    assert stage._odometry._visual_odometry.mapping._window.newest.image.matrix[0, 0] == pytest.approx(208.0)
    between = stage._odometry.track(keyframe(35, 100.0, None).local.frame)
    assert between is not None and between.pose.focal_px == pytest.approx(104.0)


@pytest.mark.parametrize("use_camera_info", [True, False])
def test_known_intrinsics_are_searched_only_where_they_are_not_to_be_used(
    use_camera_info: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    monkeypatch.setattr(FocalSelfCalibration, "observe", lambda search, problem, estimate, focal: asked.append(focal))
    stage = refinement(settings=PoseSettings(use_camera_info=use_camera_info))
    for number in range(20):
        result = refined(stage, keyframe(number, 100.0, CAMERA))
    assert (stage.focal_px(result.local.frame) is None) == use_camera_info
    assert (not asked) == use_camera_info
    assert all(focal == pytest.approx(200.0) for focal in asked)
    assert result.pose is not None

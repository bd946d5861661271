from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from plane_scene import MATRIX, SIDE, depths, encoded_frame, image, pose, refined, refinement

from slam3r_ros.engine.encoder import Encoder
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid, transform_points
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure import loop_closer, place_graph
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.tuning import TUNING as LOOP_TUNING
from slam3r_ros.networks.weights import Networks
from slam3r_ros.odometry import local_mapping
from slam3r_ros.odometry import odometry_stage as engine_stage
from slam3r_ros.odometry import visual_odometry as engine_poses
from slam3r_ros.odometry.tracked_frame import OdometryInput
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.settings import PoseSettings
from slam3r_ros.types import Frame, HostPointmaps, LocalPointmap, PoseEstimate, RegisteredFrame, State


@pytest.fixture(autouse=True)
def every_keyframe_is_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_graph, "TUNING", replace(LOOP_TUNING, min_place_motion=0.0))


HALF = SIDE // 2
CAMERA = Camera(SIDE, SIDE, MATRIX[0, 0], MATRIX[1, 1], MATRIX[0, 2], MATRIX[1, 2]).scaled(HALF, HALF)
SCALE = 0.5
NOTHING = torch.empty(0)


def own_points(T_world_camera: Array) -> Array:
    """(HALF, HALF, 3) camera points, metres."""
    v, u = np.mgrid[:HALF, :HALF]
    rays = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones_like(u)], axis=-1)
    return np.asarray(rays * depths(T_world_camera)[..., None])


def keyframe(number: int, T_estimated: Array, *, lost: bool = False, own: bool = True) -> RegisteredFrame:
    """Frame ``number`` as L2W answers it when it takes the frame to be at ``T_estimated``."""
    points = own_points(pose(number)).astype(np.float32)
    world = transform_points(T_estimated, points).astype(np.float32)
    world[0, 0] = 0
    valid = np.full((HALF, HALF), own)
    host = HostPointmaps(world, np.full((HALF, HALF), 5.0, np.float32), points / SCALE, world[..., 0], valid)
    crop = np.zeros((HALF, HALF, 3), np.uint8)
    frame = encoded_frame(number, crop, CAMERA, image(pose(number)))
    local = LocalPointmap(frame, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)
    estimate = PoseEstimate(T_estimated, CAMERA.fx, 0.9, 2.0, SCALE if own else np.nan, 0.01)
    state = State.LOST if lost else State.TRACKING
    return RegisteredFrame(local, torch.from_numpy(world), NOTHING, host, 5.0, 5.0, None, estimate, state, lost)


def in_unit(original: RegisteredFrame, factor: float) -> RegisteredFrame:
    """The frame with its own pointmap in another unit, and its scale with it."""
    host, estimate = original.on_host, original.pose
    assert estimate is not None
    host = replace(host, points_camera=(host.points_camera * factor).astype(np.float32))
    return replace(original, on_host=host, pose=replace(estimate, scale=estimate.scale / factor))


def seen_as(original: RegisteredFrame, grey: NDArray[np.uint8]) -> RegisteredFrame:
    """The frame with another image for the tracks."""
    assert original.local.frame.working is not None
    working = replace(original.local.frame.working, grey=grey)
    return replace(original, local=replace(original.local, frame=replace(original.local.frame, working=working)))


def lost_at(number: int, factor: float = 1.0) -> RegisteredFrame:
    """Frame ``number`` as L2W leaves it when it does not know where it is, its own pointmap in some unit."""
    return in_unit(keyframe(number, rigid(np.eye(3), [50.0, 0, 0]), lost=True), factor)


def scale_of(result: RegisteredFrame, number: int, factor: float) -> float:
    """Of the world by the answer for `lost_at`, true is 1."""
    assert result.pose is not None and result.state is State.TRACKING
    return result.pose.scale * factor / SCALE


def misplaced(number: int) -> Array:
    return pose(number) @ rigid(np.eye(3), 0.1 * np.random.default_rng(number).normal(size=3))


@pytest.mark.parametrize("own", [True, False])
def test_pose_and_points_move_together(own: bool) -> None:
    stage = refinement()
    results = [refined(stage, keyframe(number, misplaced(number), own=own)) for number in range(12)]
    assert results[0].pose is not None and np.array_equal(results[0].pose.T_world_camera, misplaced(0))
    result, before = results[-1], keyframe(11, misplaced(11), own=own)
    assert result.pose is not None and before.pose is not None
    assert not np.allclose(result.pose.T_world_camera, before.pose.T_world_camera, atol=0.02)
    seen = transform_points(invert_rigid(result.pose.T_world_camera), result.on_host.points_world)[1:]
    ratio = seen / own_points(pose(11))[1:]
    assert ratio.std() < 1e-3  # the same rays, all distances by one factor
    assert ratio.mean() == pytest.approx(1.0, abs=0.1)
    if own:
        assert result.pose.scale / SCALE == pytest.approx(ratio.mean(), rel=1e-3)
    assert not result.on_host.points_world[0, 0].any()  # the mark of an invalid point
    assert np.array_equal(result.points_world.numpy(), result.on_host.points_world)
    assert result.pose.inlier_fraction == before.pose.inlier_fraction  # L2W's: what the tracks err tells too little
    assert result.pose.reprojection_error_px == before.pose.reprojection_error_px


def test_a_frame_that_l2w_lost_has_the_pose_of_its_tracks_and_stays_out_of_the_map() -> None:
    stage = refinement()
    for number in range(8):
        refined(stage, keyframe(number, pose(number)))
    elsewhere = keyframe(8, rigid(np.eye(3), [50.0, 0, 0]), lost=True)
    result = refined(stage, elsewhere)
    assert (result.state, result.is_excluded) == (State.TRACKING, True)
    assert result.pose is not None
    assert np.linalg.norm(result.pose.T_world_camera[:3, 3] - pose(8)[:3, 3]) < 0.05
    assert 0.5 < result.pose.inlier_fraction <= 1 and result.pose.reprojection_error_px < 1
    seen = transform_points(invert_rigid(result.pose.T_world_camera), result.on_host.points_world)
    assert np.median(np.abs(seen / own_points(pose(8)) - 1)) < 0.02  # its own pointmap, where and as large as it is
    assert np.array_equal(result.points_world.numpy(), result.on_host.points_world)
    assert refined(refinement(), elsewhere) is elsewhere


def test_the_scales_before_stand_for_that_of_a_frame_that_l2w_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, views = refinement(), list[OdometryInput]()
    track = stage._odometry._visual_odometry.track_registered
    monkeypatch.setattr(
        stage._odometry._visual_odometry,
        "track_registered",
        lambda view, relocalize: views.append(view) or track(view, relocalize),  # type: ignore[func-returns-value]
    )
    refined(stage, lost_at(0))
    assert views[-1].prior is None  # no frame before it
    factors = [1.0, 1.2, 0.9, 5.0, 1.1]
    for number, factor in enumerate(factors):
        refined(stage, in_unit(keyframe(number, pose(number)), factor))
        prior, said = views[-1].prior, views[-1].log_scale
        assert prior is not None and prior.T_camera_world is not None and said is not None
        assert np.exp(said) == pytest.approx(SCALE / factor)
    refined(stage, keyframe(5, pose(5), own=False))  # its scale is no own pointmap's
    for number in (6, 7):
        lost = lost_at(number, 1.3)
        host = replace(lost.on_host, valid=np.zeros_like(lost.on_host.valid))  # what L2W thinks of it does not matter
        before = list(stage._odometry._log_scales)
        refined(stage, replace(lost, on_host=host))
        prior = views[-1].prior
        assert prior is not None and prior.T_camera_world is None and prior.sigma_factor == 1
        assert prior.log_scale == pytest.approx(np.median(before))
        assert SCALE / 1.3 < np.exp(prior.log_scale) < SCALE
        np.testing.assert_array_equal(views[-1].depths, lost.on_host.points_camera[..., 2])
    refined(stage, replace(lost, on_host=replace(host, points_camera=np.zeros_like(host.points_camera))))
    assert views[-1].prior is None and np.isnan(views[-1].depths).all()  # nor a scale without a pointmap


def test_a_tracked_frame_without_a_scale_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, views = refinement(), list[OdometryInput]()
    track = stage._odometry._visual_odometry.track_registered
    monkeypatch.setattr(
        stage._odometry._visual_odometry,
        "track_registered",
        lambda view, relocalize: views.append(view) or track(view, relocalize),  # type: ignore[func-returns-value]
    )
    for number in range(3):
        refined(stage, keyframe(number, pose(number)))
    for number in range(3, 9):  # its own points are there, but how large they are is not known
        unscaled = keyframe(number, pose(number))
        assert unscaled.pose is not None and unscaled.on_host.valid.all()
        result = refined(stage, replace(unscaled, pose=replace(unscaled.pose, scale=np.nan)))
        prior = views[-1].prior
        assert result.state is State.TRACKING and prior is not None
        assert prior.log_scale == 0  # of the world points, that its depths are taken from
    refined(stage, lost_at(9))
    prior = views[-1].prior
    assert len(stage._odometry._log_scales) == 3  # of frames 1, 2 and 9
    assert prior is not None and np.exp(prior.log_scale) == pytest.approx(SCALE, rel=0.01)


def test_between_keyframes_the_tracks_alone_give_the_pose() -> None:
    stage, other = refinement(), refinement()
    first = keyframe(0, misplaced(0))
    assert stage._odometry.track(first.local.frame) is None  # nothing has begun
    advanced = due = 0
    for number in range(30):
        each = keyframe(number, misplaced(number))
        alone, expected = stage._odometry.track(each.local.frame), refined(other, each)
        assert expected.pose is not None
        found = refined(stage, each).pose if alone is None or alone.is_keyframe else alone.pose
        assert found is not None
        np.testing.assert_allclose(found.T_world_camera, expected.pose.T_world_camera, atol=1e-3)
        if alone is not None:
            due += alone.is_keyframe
            advanced += not alone.is_keyframe
            assert (expected.is_excluded or alone.is_keyframe) and alone.pose.focal_px == pytest.approx(CAMERA.fx)
            assert 0.5 < alone.pose.inlier_fraction <= 1 and alone.pose.reprojection_error_px < 0.5
            assert alone.pose.scale == pytest.approx(expected.pose.scale, rel=0.1)
            assert np.isnan(alone.pose.similarity_error)
    assert 10 < advanced < 27 and advanced + due >= 28, "all but those of the beginning"


def test_nothing_advances_without_an_image_or_where_l2w_knows_better() -> None:
    stage = refinement()
    for number in range(5):
        refined(stage, keyframe(number, pose(number)))
    frame = keyframe(5, pose(5)).local.frame
    assert stage._odometry.track(replace(frame, working=None)) is None
    assert stage._odometry.track(frame) is not None
    for number in range(6, 9):
        exact = keyframe(number, pose(number))
        assert exact.pose is not None
        refined(stage, replace(exact, pose=replace(exact.pose, reprojection_error_px=0.0)))
    assert stage._odometry.track(keyframe(8, pose(8)).local.frame) is None


def test_only_the_last_scales_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_stage, "TUNING", replace(TUNING, remembered_scales=3))
    stage = refinement()
    for number in range(6):
        refined(stage, keyframe(number, pose(number)))
        assert len(stage._odometry._log_scales) == min(number, 3)  # the first is where the tracks begin
    assert np.exp(stage._odometry._log_scales) == pytest.approx([SCALE] * 3, rel=0.01)


def test_a_long_run_of_lost_frames_keeps_its_place_and_scale() -> None:
    stage, random = refinement(), np.random.default_rng(0)

    def noisy(original: RegisteredFrame) -> RegisteredFrame:
        assert original.local.frame.working is not None
        grey = original.local.frame.working.grey
        return seen_as(original, (grey + random.normal(0, 5, grey.shape)).clip(0, 255).astype(np.uint8))

    for number in range(15):
        refined(stage, noisy(keyframe(number, pose(number))))
    for number in range(15, 100):
        factor = float(np.exp(random.normal(0, 0.1)))
        result = refined(stage, noisy(lost_at(number, factor)))
        assert scale_of(result, number, factor) == pytest.approx(1, abs=0.05)
        assert result.pose is not None
        offset = result.pose.T_world_camera[:3, 3] - pose(number)[:3, 3]
        assert np.linalg.norm(offset) < 0.02 + 0.02 * np.linalg.norm(pose(number)[:3, 3])


@pytest.mark.parametrize(("remembered", "left"), [(101, 0.7), (0, 1.0)])
def test_a_scale_that_l2w_gave_wrongly_last_is_pulled_to_those_before(
    remembered: int, left: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_stage, "TUNING", replace(TUNING, remembered_scales=remembered))
    stage, random = refinement(), np.random.default_rng(0)
    for number in range(10):
        refined(stage, keyframe(number, pose(number)))
    black = np.zeros((SIDE, SIDE), np.uint8)
    refined(stage, seen_as(keyframe(10, pose(10)), black))  # after which the tracks begin again
    begins = in_unit(keyframe(11, pose(11)), 1 / 1.4)
    host = replace(begins.on_host, points_camera=keyframe(11, pose(11)).on_host.points_camera)
    assert refined(stage, replace(begins, on_host=host)).pose is begins.pose
    for number in range(12, 60):
        factor = float(np.exp(random.normal(0, 0.1)))
        scale = scale_of(refined(stage, lost_at(number, factor)), number, factor)
        assert -0.15 < np.log(scale) / np.log(1.4) < 1.02
    assert np.log(scale) / np.log(1.4) < left + 0.02
    assert np.log(scale) / np.log(1.4) > 0.9 or remembered


def test_after_a_gap_that_nothing_was_seen_in_a_lost_frame_is_found_again() -> None:
    stage, black = refinement(), np.zeros((SIDE, SIDE), np.uint8)
    for number in range(12):
        refined(stage, keyframe(number, pose(number)))
    for number in range(12, 17):
        covered = seen_as(lost_at(number), black)
        assert refined(stage, covered) is covered
    for number in range(17, 22):
        result = refined(stage, lost_at(number))
        assert result.state is State.TRACKING and result.pose is not None
        assert np.linalg.norm(result.pose.T_world_camera[:3, 3] - pose(number)[:3, 3]) < 0.02
        assert result.pose.focal_px == pytest.approx(CAMERA.fx)
        assert result.pose.scale == pytest.approx(SCALE, rel=0.03)


def test_without_an_image_for_the_tracks_nothing_changes() -> None:
    stage, whole = refinement(), keyframe(1, pose(1))
    refined(stage, keyframe(0, pose(0)))
    bare = replace(whole, local=replace(whole.local, frame=replace(whole.local.frame, working=None)))
    assert refined(stage, bare) is bare


def largest_error(results: list[RegisteredFrame], first: int) -> float:
    """Of positions from the first of these on, after alignment by their mean, metres."""
    positions = np.array([r.pose.T_world_camera[:3, 3] for r in results if r.pose is not None])[first:]
    true = np.array([pose(number)[:3, 3] for number in range(len(results))])[first:]
    errors = (positions - positions.mean(axis=0)) - (true - true.mean(axis=0))
    return float(np.linalg.norm(errors, axis=1).max())


def test_the_focal_length_is_that_of_the_pose_where_the_camera_is_not_used() -> None:
    stage = refinement(settings=PoseSettings(use_camera_info=False))
    assert largest_error([refined(stage, keyframe(number, misplaced(number))) for number in range(12)], 1) < 0.05


def uncalibrated(original: RegisteredFrame, focal_px: float) -> RegisteredFrame:
    """The frame without camera_info, its pose with some focal length."""
    assert original.pose is not None
    local = replace(original.local, frame=replace(original.local.frame, camera=None))
    return replace(original, local=local, pose=replace(original.pose, focal_px=focal_px))


@pytest.mark.parametrize("wrong", [1.3, 0.75])
@pytest.mark.parametrize("late", [1, 4])
def test_camera_info_that_comes_some_images_late_counts_for_those_before_too(late: int, wrong: float) -> None:
    stage, results = refinement(), []
    for number in range(30):
        frame = keyframe(number, misplaced(number))
        results.append(refined(stage, uncalibrated(frame, wrong * CAMERA.fx) if number < late else frame))
    assert largest_error(results, 10) < 0.01


@pytest.mark.parametrize("away", [1, 8])
def test_camera_info_that_is_away_for_a_while_leaves_the_tracks_as_they_are(
    away: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        engine_poses.VisualOdometry, "know_camera", lambda *_: pytest.fail("keyframes were seen with it")
    )
    stage, results = refinement(), []
    for number in range(40):
        frame = keyframe(number, misplaced(number))
        if not 15 <= number < 15 + away:
            results.append(refined(stage, frame))
            continue
        assert frame.local.frame.camera is not None
        results.append(refined(stage, uncalibrated(frame, 1.3 * CAMERA.fx)))
    assert largest_error(results, 10) < 0.01


def test_a_keyframe_tells_the_focal_length_that_its_points_were_made_with(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[float | None] = [None, None, 0.8 * 2 * CAMERA.fx, None]  # of the image, twice as wide as the crop
    answers = iter(found)
    monkeypatch.setattr(local_mapping.FocalSelfCalibration, "observe", lambda *_: next(answers, None))
    stage, told = refinement(), []
    for number in range(30):
        frame = keyframe(number, misplaced(number))
        used = stage.focal_px(uncalibrated(frame, CAMERA.fx).local.frame) or CAMERA.fx
        result = refined(stage, uncalibrated(frame, used))
        assert result.pose is not None
        told.append((result.pose.focal_px, stage.focal_px(uncalibrated(frame, used).local.frame)))
    assert told[0][0] == pytest.approx(CAMERA.fx) and told[-1][0] == pytest.approx(0.8 * CAMERA.fx)
    assert all(focal == pytest.approx(in_use) for focal, in_use in told[1:])


def test_a_dot_lies_in_the_whole_image_where_its_camera_sees_it(tiny_networks: Networks) -> None:
    camera = Camera(1280, 960, fx=1000.0, fy=1020.0, cx=642.0, cy=476.0)
    point = np.array([0.1, -0.05, 1.0])
    u, v = (camera.matrix @ point)[:2]
    y, x = np.mgrid[:960, :1280]
    dot = np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 6.0**2))[..., None] * 255
    frame = Frame(0, dot.repeat(3, axis=2).astype(np.uint8), camera)
    encoded = Encoder(tiny_networks.i2p, working_side=640).encode([frame])[0]
    assert encoded.working is not None and encoded.working.camera is not None
    assert Encoder(tiny_networks.i2p).encode([frame])[0].working is None
    grey = encoded.working.grey
    assert grey.shape == (480, 640)
    rows, columns = np.mgrid[:480, :640]
    found = np.array([(grey * columns).sum(), (grey * rows).sum()]) / grey.sum()
    np.testing.assert_allclose(found, (encoded.working.camera.matrix @ point)[:2], atol=0.05)


def test_distances_that_err_smoothly_are_corrected_by_the_tracks() -> None:
    def bent(number: int) -> RegisteredFrame:
        result = keyframe(number, misplaced(number))
        bend = np.exp(np.linspace(-0.2, 0.2, HALF))[None, :, None]
        points = transform_points(misplaced(number), own_points(pose(number)) * bend).astype(np.float32)
        points[0, 0] = 0
        return replace(result, on_host=replace(result.on_host, points_world=points))

    stage = refinement()
    result = [refined(stage, bent(number)) for number in range(12)][-1]
    assert result.pose is not None
    seen = transform_points(invert_rigid(result.pose.T_world_camera), result.on_host.points_world)[1:, :, 2]
    ratios = np.log(seen / own_points(pose(11))[1:, :, 2])
    assert ratios.std() < 0.5 * np.linspace(-0.2, 0.2, HALF).std()
    assert not result.on_host.points_world[0, 0].any()


def test_no_place_is_remembered_where_loops_are_not_to_be_closed() -> None:
    for close in (True, False):
        stage = refinement(close=close)
        for number in range(0, 20, 2):
            refined(stage, described(keyframe(number, pose(number))))
            assert stage.close_loop() is None and stage.failure == ""
        assert (stage._loop_closer is not None and len(stage._loop_closer._graph.places) > 3) == close


def described(original: RegisteredFrame) -> RegisteredFrame:
    """The frame with tokens to recognise it by."""
    tokens = torch.ones(4, 8) * original.index
    return replace(original, local=replace(original.local, frame=replace(original.local.frame, tokens=tokens)))


def test_scales_and_tracks_move_with_a_closed_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = refinement()
    for number in range(12):
        refined(stage, described(keyframe(number, pose(number))))
    assert stage._loop_closer is not None
    before, last = list(stage._odometry._log_scales), refined(stage, lost_at(12)).pose
    moved = Sim3(np.array([2.0]), np.diag([-1.0, 1, -1])[None], np.array([[1.0, 2, 3]]))
    correction = MapCorrection(np.array([0]), moved)
    monkeypatch.setattr(stage._loop_closer, "collect", lambda: correction)
    assert stage.close_loop() is correction
    np.testing.assert_allclose(list(stage._odometry._log_scales)[: len(before)], np.array(before) + np.log(2))
    after = refined(stage, lost_at(13)).pose
    assert last is not None and after is not None
    expected = correction.of_poses(np.array([13]), pose(13)[None])[0]
    assert np.linalg.norm(after.T_world_camera[:3, 3] - expected[:3, 3]) < 0.05
    np.testing.assert_allclose(after.T_world_camera[:3, :3], expected[:3, :3], atol=0.02)
    assert after.scale == pytest.approx(2 * last.scale, rel=0.05)


@pytest.mark.parametrize("corrected", [False, True])
def test_a_frame_that_only_a_place_shows_is_found_there_in_the_world_as_it_is_now(
    corrected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, black = refinement(), np.zeros((SIDE, SIDE), np.uint8)
    for number in range(12):
        refined(stage, described(keyframe(number, pose(number))))
        stage.close_loop()
    assert stage._loop_closer is not None and len(stage._loop_closer._graph.places) > 1
    world = rigid(np.eye(3), np.zeros(3))
    if corrected:  # the places as a closed loop has moved them
        nodes = stage._loop_closer._graph.nodes
        moved = Sim3(np.array([2.0]), np.diag([-1.0, 1, -1])[None], np.array([[1.0, 2, 3]]))
        nodes = Sim3.concatenate([moved @ nodes[p : p + 1] for p in range(len(nodes))])
        stage._loop_closer._graph.nodes, stage._loop_closer._known = (
            nodes,
            (tuple(stage._loop_closer._graph.places), nodes),
        )
        world = MapCorrection(np.array([0]), moved).of_poses(np.array([0]), world[None])[0]
    monkeypatch.setattr(engine_poses, "estimate_relative_pose", lambda *_: None)  # the newest keyframes do not show it
    covered = seen_as(described(lost_at(12)), black)
    assert refined(stage, covered) is covered
    for number in (5, 6, 7):
        result = refined(stage, described(lost_at(number)))
        stage.close_loop()
        assert result.state is State.TRACKING and result.pose is not None
        size = 2.0 if corrected else 1.0
        expected = world[:3, 3] + size * world[:3, :3] @ pose(number)[:3, 3]
        assert np.linalg.norm(result.pose.T_world_camera[:3, 3] - expected) < 0.05 * size
        np.testing.assert_allclose(result.pose.T_world_camera[:3, :3], world[:3, :3] @ pose(number)[:3, :3], atol=0.02)
        assert result.pose.scale == pytest.approx(size * SCALE, rel=0.05)
    assert stage._loop_closer._graph.places[-1].index in (5, 6, 7)


def test_a_lost_frame_that_cannot_be_compared_with_places_stays_lost_and_the_next_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage, black = refinement(), np.zeros((SIDE, SIDE), np.uint8)
    for number in range(12):
        refined(stage, described(keyframe(number, pose(number))))
        stage.close_loop()
    monkeypatch.setattr(engine_poses, "estimate_relative_pose", lambda *_: None)
    refined(stage, seen_as(described(lost_at(12)), black))
    assert stage._loop_closer is not None and stage.failure == ""
    places = list(stage._loop_closer._graph.places)
    with monkeypatch.context() as patch:
        patch.setattr(loop_closer, "describe_place", lambda _: cv2.resize(np.empty(0), (1, 1)))
        lost = described(lost_at(5))
        assert refined(stage, lost) is lost
    assert stage.failure.startswith("a keyframe could not be compared with earlier ones: error: OpenCV")
    assert stage.close_loop() is None and stage._loop_closer._graph.places == places
    assert refined(stage, described(lost_at(6))).state is State.TRACKING


def test_the_way_to_a_frame_that_a_place_showed_is_not_relied_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = refinement()
    for number in range(12):
        refined(stage, described(keyframe(number, pose(number))))
        stage.close_loop()
    monkeypatch.setattr(engine_poses, "estimate_relative_pose", lambda *_: None)
    monkeypatch.setattr(
        stage._odometry._visual_odometry, "_track_with_prior", lambda *_: None
    )  # its corners were lost at once
    assert stage._loop_closer is not None
    places = len(stage._loop_closer._graph.places)
    refined(stage, described(lost_at(5)))
    stage.close_loop()
    assert len(stage._loop_closer._graph.places) == places + 1
    scales = stage._loop_closer._graph.sigmas[:, 6] / LOOP_TUNING.chain_scale_sigma
    np.testing.assert_allclose(scales[1:], [*[1.0] * (places - 2), LOOP_TUNING.lost_sigma_factor])

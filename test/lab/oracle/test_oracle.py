"""What the engine makes of exact answers, and that the errors asked for are the errors given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_events import only_map_updates

from slam3r_lab.oracle import ORACLE_SETTINGS, OracleError, OracleSettings, oracle_networks
from slam3r_lab.oracle.drift import drifting_path
from slam3r_lab.oracle.errors import Errors
from slam3r_lab.oracle.settings import OracleSettingError
from slam3r_lab.oracle.views import TrueView, TrueViews
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_lab.sequences.truth import true_pointmap
from slam3r_ros.engine.encoder import Encoder, resize_and_crop
from slam3r_ros.engine.events import Update
from slam3r_ros.engine.image_to_points_stage import ImageToPointsStage
from slam3r_ros.engine.slam import Slam
from slam3r_ros.engine.slam_status import SlamStatus
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.umeyama import umeyama
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import EncodedFrame, Frame, MapUpdate, Window

SIZE = (64, 64)
SETTINGS = {"window.stride": 3, "window.radius": 2}


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What the engine made of a sequence."""

    updates: list[MapUpdate]
    status: SlamStatus
    ate_m: float
    metres_per_unit: float
    cloud_errors_m: Array
    """Distance of every confident point from the true point of its pixel."""


def outcome(sequence: ImageSequence, setting: str, **values: object) -> Outcome:
    settings = SlamSettings().with_values({**SETTINGS, **{k.replace("__", "."): v for k, v in values.items()}})
    slam = Slam(oracle_networks(sequence, setting, image_size=SIZE), settings)
    events: list[Update] = []
    for frame in sequence.frames:
        image = sequence.image(frame)
        events += slam.push(Frame(frame.stamp_ns, image, sequence.camera_of(image)))
    updates = only_map_updates(events + slam.flush())
    true_poses = {frame.stamp_ns: frame.T_world_camera for frame in sequence.frames}
    estimated = np.array([pose.T_world_camera[:3, 3] for pose in slam.trajectory()])
    true = np.array([true_poses[pose.stamp_ns][:3, 3] for pose in slam.trajectory()])
    alignment = umeyama(estimated, true, np.ones(len(true)))
    assert alignment is not None
    ate = float(np.sqrt(np.mean(np.sum((alignment.apply(estimated) - true) ** 2, axis=1))))
    errors = []
    for update in updates:
        truth = true_pointmap(sequence, sequence.frames[update.index], SIZE)
        assert truth is not None
        sure = update.pointmaps.confidence > 1.5
        points_world = alignment.apply(update.pointmaps.points_world[sure])
        errors.append(np.linalg.norm(points_world - truth.points_world()[sure], axis=1))
    return Outcome(updates, slam.status(), ate, alignment.scale, np.concatenate(errors))


@pytest.mark.parametrize("lookahead", [0, 2])
@pytest.mark.parametrize("name", ["rendered", "real"])
def test_exact_answers_give_the_truth(name: str, lookahead: int, request: pytest.FixtureRequest) -> None:
    sequence: ImageSequence = request.getfixturevalue(name)
    got = outcome(sequence, "exact", window__lookahead=lookahead)
    assert len(got.updates) == len(sequence) and got.status.lost_frames == 0
    assert got.ate_m < 1e-3
    assert got.cloud_errors_m.max() < 1e-3
    assert len(got.cloud_errors_m) > 0.5 * len(sequence) * SIZE[0] * SIZE[1]


def test_holes_in_the_depth_are_not_outliers(real: ImageSequence) -> None:
    got = outcome(real, "exact")
    fractions = [update.pose.inlier_fraction for update in got.updates if update.pose is not None]
    assert len(fractions) == len(real) and min(fractions) > 0.99


def test_few_pixels_with_depth_are_enough(real: ImageSequence, monkeypatch: pytest.MonkeyPatch) -> None:
    read = ImageSequence.depth

    def mostly_holes(self: ImageSequence, frame):  # type: ignore[no-untyped-def]
        depth = read(self, frame)
        depth[:, np.arange(depth.shape[1]) % 10 > 1] = 0
        return depth

    monkeypatch.setattr(ImageSequence, "depth", mostly_holes)
    got = outcome(real, "exact", initialize__minimum_confidence=0.0, pose__minimum_confidence=0.0)
    assert got.status.lost_frames == 0 and got.ate_m < 1e-3


def test_without_known_intrinsics_the_focal_length_is_found(rendered: ImageSequence) -> None:
    got = outcome(rendered, "exact", pose__use_camera_info=False)
    camera = true_pointmap(rendered, rendered.frames[0], SIZE).camera  # type: ignore[union-attr]
    assert got.updates[-1].pose is not None
    assert got.updates[-1].pose.focal_px == pytest.approx(camera.fx, rel=0.01)
    assert got.ate_m < 5e-3  # the principal point is taken to be the centre, half a pixel off


def test_the_scale_of_a_window_is_its_own(rendered: ImageSequence) -> None:
    networks = oracle_networks(rendered, "exact", image_size=SIZE)
    encoder, local_points = Encoder(networks.i2p), ImageToPointsStage(networks.i2p, 1.5)
    frames = [Frame(each.stamp_ns, rendered.image(each)) for each in rendered.frames[:3]]
    first, second, third = EncodedFrame.numbered(encoder.encode(frames))
    own = local_points.estimate([Window(first, (second, third)), Window(second, (first, third))])
    true = [true_pointmap(rendered, each, SIZE).points_camera for each in rendered.frames[:2]]  # type: ignore[union-attr]
    ratios = [local.points_camera.numpy()[..., 2] / points[..., 2] for local, points in zip(own, true, strict=True)]
    assert all(np.ptp(ratio) < 1e-5 * ratio.mean() for ratio in ratios)
    assert abs(ratios[0].mean() / ratios[1].mean() - 1) > 0.02


def test_sources_are_answered_in_the_references_camera(rendered: ImageSequence) -> None:
    networks = oracle_networks(rendered, "exact", image_size=SIZE)
    frames = [Frame(f.stamp_ns, rendered.image(f)) for f in rendered.frames[::20]]
    encoded = EncodedFrame.numbered(Encoder(networks.i2p).encode(frames))
    maps = ImageToPointsStage(networks.i2p, 1.5).every_reference(encoded)
    truths = [true_pointmap(rendered, frame, SIZE) for frame in rendered.frames[::20]]
    for reference, truth in enumerate(truths):
        assert truth is not None and truth.T_world_camera is not None
        metres = truth.points_camera[..., 2].mean() / maps.points[reference, reference, ..., 2].mean().item()
        for view, other in enumerate(truths):
            assert other is not None
            world = metres * maps.points[reference, view].numpy() @ truth.T_world_camera[:3, :3].T
            np.testing.assert_allclose(world + truth.T_world_camera[:3, 3], other.points_world(), atol=1e-4)


def test_retrieval_scores_are_the_true_overlap(rendered: ImageSequence) -> None:
    i2p = oracle_networks(rendered, "exact", image_size=SIZE).i2p
    encoded = Encoder(i2p).encode([Frame(f.stamp_ns, rendered.image(f)) for f in rendered.frames])
    query, candidates = encoded[0].reference_activations, [encoded[number].source_activations for number in (0, 5, 44)]
    scores = i2p.correlation(
        type(query).stack([query])[:, None], type(query).stack(candidates)[None]
    )[0, :, 0]  # fmt: skip
    assert scores[0] == 2.0 and scores[0] >= scores[1] > scores[2] >= 1.0


def test_equal_images_are_found_in_order(rendered: ImageSequence) -> None:
    first, second = rendered.frames[:2]
    twice = replace(rendered, frames=(first, replace(first, index=1, stamp_ns=second.stamp_ns), second))
    views = TrueViews(twice, SIZE)
    crops = [resize_and_crop(twice.image(frame), SIZE) for frame in twice.frames]
    assert [views.find(crop) for crop in (crops[0], crops[1], crops[2], crops[0])] == [0, 1, 2, 0]


def test_an_image_of_another_sequence_is_refused(rendered: ImageSequence, real: ImageSequence) -> None:
    networks = oracle_networks(rendered, "exact", image_size=SIZE)
    with pytest.raises(OracleError, match="none of its 45"):
        networks.i2p.encode(torch.zeros(1, 3, *SIZE))


def test_frames_without_truth_are_lost_not_wrong(rendered: ImageSequence) -> None:
    frames = list(rendered.frames)
    frames[40] = replace(frames[40], T_world_camera=None)
    frames[41] = replace(frames[41], depth_path=Path("/nonexistent.png"))
    got_by_index = outcome_with_gaps(replace(rendered, frames=tuple(frames)))
    assert [state.name for state in got_by_index[40:42]] == ["LOST", "LOST"]
    assert {state.name for state in got_by_index[:40] + got_by_index[42:]} == {"TRACKING"}


def outcome_with_gaps(sequence: ImageSequence) -> list:  # type: ignore[type-arg]
    slam = Slam(oracle_networks(sequence, "exact", image_size=SIZE), SlamSettings().with_values(SETTINGS))
    events: list[Update] = []
    for frame in sequence.frames:
        events += slam.push(Frame(frame.stamp_ns, sequence.image(frame), sequence.camera))
    return [update.state for update in only_map_updates(events)]


# ---- errors ------------------------------------------------------------------------------------------------------


def plane_view(depth_m: float = 2.0) -> TrueView:
    from slam3r_ros.geometry.camera import Camera

    return TrueView(np.full((112, 112), depth_m, np.float32), Camera(112, 112, 110, 110, 55.5, 55.5))


def relative_errors(settings: OracleSettings, numbers: range) -> Array:
    """(N, H, W, 3) over the distance."""
    errors, view = Errors(settings, (112, 112), "l2w"), plane_view()
    distance = np.linalg.norm(view.points_camera, axis=-1, keepdims=True)
    return np.stack([(errors.answer(n, view, placed=False).points - view.points_camera) / distance for n in numbers])


def test_noise_has_the_size_asked_for_and_lies_along_the_ray() -> None:
    wrong = relative_errors(OracleSettings(noise=0.1), range(0, 1200, 20))
    assert np.linalg.norm(wrong, axis=-1).mean() == pytest.approx(0.1, rel=0.1)
    rays = plane_view().points_camera / np.linalg.norm(plane_view().points_camera, axis=-1, keepdims=True)
    along = (wrong * rays).sum(axis=-1)
    across = wrong - along[..., None] * rays
    assert along.std() / np.sqrt((across**2).sum(axis=-1).mean() / 2) == pytest.approx(2.3, rel=0.15)


def test_noise_is_as_smooth_as_that_of_networks() -> None:
    depth = relative_errors(OracleSettings(noise=0.1), range(0, 1600, 20))[..., 2]
    variance = (depth**2).mean()
    measured = {1: 0.92, 8: 0.59, 16: 0.45, 32: 0.19}
    for pixels, correlation in measured.items():
        assert (depth[:, :, pixels:] * depth[:, :, :-pixels]).mean() / variance == pytest.approx(correlation, abs=0.08)


def test_noise_changes_slowly_from_frame_to_frame() -> None:
    depth = relative_errors(OracleSettings(noise=0.1), range(100))[..., 2]
    variance = (depth**2).mean()
    assert (depth[1:] * depth[:-1]).mean() / variance > 0.95
    assert (depth[10:] * depth[:-10]).mean() / variance == pytest.approx(0.67, abs=0.12)


def test_outliers_are_as_many_as_asked_for() -> None:
    wrong = np.linalg.norm(relative_errors(OracleSettings(outliers=0.1), range(0, 200, 20)), axis=-1)
    assert (wrong > 1e-6).mean() == pytest.approx(0.1, abs=0.002)
    assert (wrong > 0.05).mean() > 0.08


def test_calibrated_confidence_is_low_where_the_answer_is_wrong() -> None:
    view = plane_view()
    for calibrated in (True, False):
        settings = OracleSettings(outliers=0.1, noise=0.02, calibrated=calibrated)
        answer = Errors(settings, (112, 112), "l2w").answer(3, view, placed=False)
        wrong = np.linalg.norm(answer.points - view.points_camera, axis=-1) > 0.5
        assert wrong.any()
        assert (answer.confidence[wrong].max() < answer.confidence[~wrong].min() + 1) == calibrated or not calibrated
        assert (answer.confidence[wrong].mean() < 0.6 * answer.confidence[~wrong].mean()) == calibrated


def test_answers_depend_on_the_seed_alone() -> None:
    view = plane_view()
    settings = OracleSettings(noise=0.1, outliers=0.05, placement=0.05)
    one, same = (Errors(settings, (112, 112), "i2p").answer(17, view, placed=True) for _ in range(2))
    other = Errors(replace(settings, seed=1), (112, 112), "i2p").answer(17, view, placed=True)
    np.testing.assert_array_equal(one.points, same.points)
    assert np.abs(one.points - other.points).max() > 0.05


def test_drift_grows_along_the_path() -> None:
    poses = [np.eye(4) for _ in range(11)]
    for number, pose in enumerate(poses):
        pose[0, 3] = 0.5 * number
    path = drifting_path(poses, OracleSettings(scale_drift=0.02, pose_drift=0.03))
    assert path[0] is not None and path[-1] is not None
    np.testing.assert_array_equal(path[0].T_world_camera, np.eye(4))
    assert path[-1].scale == pytest.approx(1.02**5)
    angle = np.arccos((np.trace(path[-1].T_world_camera[:3, :3]) - 1) / 2)
    assert angle == pytest.approx(5 * 0.03, rel=1e-6)


def test_scale_drift_reaches_the_map(rendered: ImageSequence) -> None:
    got = outcome(rendered, "scale_drift=0.1")
    assert 5e-3 < got.ate_m < 0.2 and got.status.lost_frames == 0
    scales = []
    for update, frame in zip(got.updates, rendered.frames, strict=True):
        if update.pose is None:
            continue
        truth, sure = true_pointmap(rendered, frame, SIZE), update.pointmaps.confidence > 1.5
        assert truth is not None
        rays = update.pointmaps.points_world[sure] - update.pose.T_world_camera[:3, 3]
        true_rays = truth.points_camera[sure]
        scales.append(np.linalg.norm(rays, axis=1).mean() / np.linalg.norm(true_rays, axis=1).mean())
    path = sum(
        np.linalg.norm(b.T_world_camera[:3, 3] - a.T_world_camera[:3, 3])
        for a, b in zip(rendered.frames[12:], rendered.frames[13:], strict=False)
    )
    assert scales[-1] / scales[12] == pytest.approx(1.1**path, rel=0.03)


def test_more_noise_is_more_error(rendered: ImageSequence) -> None:
    little, much = outcome(rendered, "noise=0.01"), outcome(rendered, "noise=0.1")
    assert 1e-3 < little.ate_m < 0.1 < 4 * much.ate_m
    assert little.cloud_errors_m.mean() < 0.5 * much.cloud_errors_m.mean()


def test_outliers_alone_leave_the_poses_exact(rendered: ImageSequence) -> None:
    assert outcome(rendered, "outliers=0.1,calibrated").ate_m < 1e-3


# ---- settings ----------------------------------------------------------------------------------------------------


def test_settings_are_read_from_text() -> None:
    assert OracleSettings.parse("exact") == OracleSettings.parse("") == OracleSettings()
    got = OracleSettings.parse("noise=0.05, outliers=0.02,scale_drift=0.01,calibrated,seed=3")
    assert got == OracleSettings(noise=0.05, outliers=0.02, scale_drift=0.01, calibrated=True, seed=3)
    assert set(ORACLE_SETTINGS) == {
        "noise", "outliers", "placement", "shrink", "scale_drift", "pose_drift", "calibrated", "seed",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["nois=0.1", "noise", "noise=x", "noise=-1", "noise=nan", "outliers=1", "seed=1.5"])
def test_wrong_settings_are_named(text: str) -> None:
    with pytest.raises(OracleSettingError, match=text.partition("=")[0]):
        OracleSettings.parse(text)

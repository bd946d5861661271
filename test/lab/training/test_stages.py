"""Losses, samples and the training loop, on a few tiny rooms."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slam3r_lab.evaluation.overlap import overlap
from slam3r_lab.sequences.truth import TruePointmap
from slam3r_lab.training import export
from slam3r_lab.training.augmentation import change_colours, mirror
from slam3r_lab.training.clips import Clips
from slam3r_lab.training.config import ConfigurationError
from slam3r_lab.training.correlation_stage import CorrelationStage, true_overlaps
from slam3r_lab.training.data import PhaseData
from slam3r_lab.training.embedded_config import initialise_weights
from slam3r_lab.training.i2p_stage import BatchSettings, ImageToPointsStage
from slam3r_lab.training.l2w_samples import choose_registration_frames, registration_batch
from slam3r_lab.training.l2w_stage import LocalToWorldStage, new_l2w
from slam3r_lab.training.losses import confidence_weighted, point_distances, scale_errors, sky_confidence
from slam3r_lab.training.matching import match_targets
from slam3r_lab.training.optimisation import MovingAverage, Muon, learning_rate_factor, orthogonalised
from slam3r_lab.training.pictures import Picture
from slam3r_lab.training.token_cache import PREDICTED_EVERY, TokenCache, build_cache
from slam3r_lab.training.trainer import Trainer, TrainingSettings
from slam3r_lab.training.windows import Views, choose_frames, load_views, transform_points
from slam3r_lab.training.workers import Workers
from slam3r_lab.worlds.build import build_world
from slam3r_lab.worlds.family import NARROW
from slam3r_lab.worlds.paths.choose import PathSettings, camera_path
from slam3r_lab.worlds.renderer import WorldRenderer, camera_from_field_of_view
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.image_to_points import ImageToPoints

SIDE, FRAMES = 32, 24
TINY = NetworkConfig(
    image_size=(SIDE, SIDE),
    encoder_width=32,
    encoder_depth=1,
    encoder_heads=2,
    decoder_width=32,
    decoder_depth=3,
    decoder_heads=2,
)


@pytest.fixture(scope="module")
def rooms() -> Clips:
    """Two narrow rooms, the second said to be of another family; a block of each of its frames has no depth, as the
    sky has none.
    """
    colour, depth, poses, cameras = [], [], [], []
    for seed in (0, 1):
        world = build_world(seed, NARROW, texels_per_metre=16.0)
        camera = camera_from_field_of_view(world.field_of_view, SIDE, SIDE)
        path = camera_path(world, seed, PathSettings(FRAMES, 8.0))
        frames = list(WorldRenderer(world, camera).render(path))
        colour.append(np.stack([frame.colour for frame in frames]))
        depth.append(np.stack([frame.depth for frame in frames]).astype(np.float16))
        poses.append(np.stack([frame.T_world_camera for frame in frames]).astype(np.float32))
        cameras.append([camera.fx, camera.cx, camera.cy])
    depth[1][:, :4, :8] = 0.0
    names, weight, sky = np.array(["narrow:0", "rooms:1"]), np.ones(2), np.array([True, True])
    return Clips(names, weight, np.stack(colour), np.stack(depth), np.stack(poses), np.array(cameras, np.float32), sky)


def _reprojected_colour_error(rooms: Clips, *, mirrored: bool) -> float:
    """Mean colour difference between view 0's pixels and what view 1 shows where view 1's camera sees their points."""
    views = load_views(rooms, np.array([0]), np.array([[8, 10]]))
    views = mirror(views, np.array([mirrored]))
    points = transform_points(
        torch.linalg.inv(views.T_world_camera[:, 1:]) @ views.T_world_camera[:, :1], views.points_camera[:, :1]
    )
    x, y, z = points[0, 0].reshape(-1, 3).unbind(-1)
    focal, middle = float(rooms.camera[0, 0]), (SIDE - 1) / 2
    column, row = (x / z * focal + middle).round().long(), (y / z * focal + middle).round().long()
    seen = (column >= 0) & (column < SIDE) & (row >= 0) & (row < SIDE) & (z > 0)
    assert seen.float().mean() > 0.4
    first = views.images[0, 0].flatten(1)[:, seen]
    second = views.images[0, 1][:, row[seen], column[seen]]
    return float((first - second).abs().mean())


def test_views_and_their_mirror_images_agree_in_colour_and_geometry(rooms: Clips) -> None:
    error, mirrored_error = (_reprojected_colour_error(rooms, mirrored=mirrored) for mirrored in (False, True))
    views = load_views(rooms, np.array([0]), np.array([[8, 10]]))
    unrelated = float((views.images[0, 0] - views.images[0, 1].flip(2)).abs().mean())
    assert error < 0.5 * unrelated
    assert mirrored_error == pytest.approx(error, rel=0.15)


def test_points_in_a_view_are_its_camera_points(rooms: Clips) -> None:
    views = load_views(rooms, np.array([0, 1]), np.array([[3, 7, 9], [0, 5, 2]]))
    for view in range(3):
        assert torch.allclose(views.points_in(view)[:, view], views.points_camera[:, view], atol=1e-4)


def test_colour_changes_leave_geometry_and_range(rooms: Clips) -> None:
    views = load_views(rooms, np.array([0, 1]), np.array([[3, 7], [0, 5]]))
    changed = change_colours(np.random.default_rng(0), views)
    assert changed.points_camera is views.points_camera
    assert not torch.equal(changed.images, views.images)
    assert changed.images.abs().max() <= 1


def test_channels_of_some_samples_change_places_alike_in_all_their_views(rooms: Clips) -> None:
    red = torch.tensor([0.6, -0.6, -0.6])[:, None, None].expand(64, 2, 3, SIDE, SIDE)
    views = load_views(rooms, np.zeros(64, int), np.zeros((64, 2), int))
    colours = change_colours(np.random.default_rng(2), replace(views, images=red)).images.mean((3, 4))
    strongest = colours.argmax(2)
    assert (colours[:, 0] - colours[:, 1]).abs().max() < 0.3
    assert 35 < int((strongest[:, 0] == 0).sum()) < 60


@pytest.mark.parametrize("count", [2, 4, 6, 11])
def test_windows_have_different_frames_of_the_room(count: int) -> None:
    random = np.random.default_rng(count)
    for _ in range(200):
        frames = choose_frames(random, FRAMES, count, wide_share=0.1)
        assert len(set(frames.tolist())) == count
        assert frames.min() >= 0 and frames.max() < FRAMES


def test_normalised_distances_ignore_scale_and_others_do_not() -> None:
    points = torch.randn(2, 3, 4, 4, 3)
    valid = torch.rand(2, 3, 4, 4) < 0.8
    assert point_distances(3.7 * points, points, valid, normalise=True)[valid].max() < 1e-5
    assert point_distances(3.7 * points, points, valid, normalise=False)[valid].mean() > 1


def test_scale_errors_tell_how_far_the_unit_is_from_a_metre() -> None:
    points = torch.randn(2, 3, 8, 8, 3, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(2, 3, 8, 8, dtype=torch.bool)
    factors = torch.tensor([2.0, 0.5])[:, None, None, None, None]
    assert scale_errors(factors * points, points, valid).tolist() == pytest.approx([np.log(2), np.log(2)], rel=1e-5)
    assert scale_errors(points, points, valid).tolist() == pytest.approx([0, 0], abs=1e-6)
    valid[:, :, :4] = False
    far = torch.where(valid[..., None], points, 100 * points)  # what is not valid does not count
    assert scale_errors(far, points, valid).tolist() == pytest.approx([0, 0], abs=1e-6)


def test_best_confidence_is_alpha_over_the_distance() -> None:
    distance = torch.full((1, 1, 2, 2), 0.05)
    valid = torch.ones(1, 1, 2, 2, dtype=torch.bool)
    losses = {
        c: float(confidence_weighted(distance, torch.full_like(distance, c), valid, alpha=0.2)) for c in (2.0, 4.0, 8.0)
    }
    assert min(losses, key=losses.__getitem__) == 4.0
    half = torch.tensor([[[[True, False], [True, False]]]])
    spoiled = distance.clone()
    spoiled[~half] = 100.0
    assert float(confidence_weighted(spoiled, torch.full_like(distance, 2.0), half)) == pytest.approx(
        0.1 - 0.2 * math.log(2)
    )


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    for rows, columns in ((24, 24), (16, 64), (64, 16)):
        values = torch.linalg.svdvals(
            orthogonalised(torch.randn(rows, columns, generator=torch.Generator().manual_seed(1)))
        )
        assert 0.2 < float(values.median()) < 2.0 and float(values.max()) < 2.0


def test_learning_rate_rises_then_falls_to_its_floor() -> None:
    assert learning_rate_factor(0, 0.0) < 0.05
    assert learning_rate_factor(1000, 0.0) == pytest.approx(1.0)
    assert learning_rate_factor(1000, 0.5) == pytest.approx(0.505)
    assert learning_rate_factor(1000, 1.0) == pytest.approx(0.01) == learning_rate_factor(1000, 2.0)


def _cache(rooms: Clips) -> TokenCache:
    random = np.random.default_rng(0)
    shape = (len(rooms), FRAMES // PREDICTED_EVERY, SIDE, SIDE, 3)
    return TokenCache(
        np.array([False, True]),
        random.standard_normal((len(rooms), FRAMES, 4, 8)).astype(np.float16),
        random.uniform(0.5, 1.0, shape).astype(np.float16),
    )


def test_registration_samples_have_world_units_and_normalised_keyframes(rooms: Clips) -> None:
    chosen = np.array([0, 1, 1, 0, 0, 1])
    sample = registration_batch(np.random.default_rng(3), rooms, _cache(rooms), chosen, scene=3, keyframes=2)
    assert sample.scene_points.shape == sample.true_scene.shape == (6, 3, SIDE, SIDE, 3)
    assert sample.keyframe_points.shape == sample.true_keyframes.shape == (6, 2, SIDE, SIDE, 3)
    assert sample.scene_tokens.shape == (6, 3, 4, 8) and sample.keyframe_tokens.shape == (6, 2, 4, 8)
    valid = sample.keyframe_points.norm(dim=-1) > 0
    for points, kept in zip(sample.keyframe_points.flatten(0, 1), valid.flatten(0, 1), strict=True):
        assert float(points[kept].norm(dim=-1).mean()) == pytest.approx(1.0, abs=1e-3)
    assert 0.5 < float(sample.true_scene.norm(dim=-1).mean()) < 2.0


def test_frames_of_a_sample_have_their_own_pointmaps_and_keyframes_are_no_scene_frames() -> None:
    random = np.random.default_rng(5)
    for _ in range(300):
        chosen = choose_registration_frames(random, FRAMES, scene=4, keyframes=3)
        assert len(chosen) == 8 and chosen.min() >= 0 and chosen.max() < FRAMES
        assert len(set(chosen[1:].tolist())) == 7
        assert (chosen[1:] % PREDICTED_EVERY == 0).all()


class _LineStage:
    """Fits a line; enough to follow the loop step by step."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(2, 1)
        self.exported = 0

    def loss(self, random: np.random.Generator, progress: float) -> tuple[Tensor, int]:
        x = torch.from_numpy(random.standard_normal((8, 2)).astype(np.float32))
        return (self.model(x) - x.sum(1, keepdim=True)).square().mean(), 8

    def validate(self) -> dict[str, float]:
        return {"error": float((self.model.weight - 1).abs().max())}

    def picture(self) -> Picture:
        return np.zeros((4, 4, 3), np.uint8)

    def export(self, directory: Path) -> None:
        self.exported += 1


def test_a_stopped_run_goes_on_exactly_where_it_was(tmp_path: Path) -> None:
    settings = TrainingSettings(minutes=60.0, learning_rate=0.01)

    def trainer(directory: str) -> Trainer:
        return Trainer(_LineStage(), tmp_path / directory, "i2p", settings, clock=lambda: 0.0)

    whole, stopped = trainer("whole"), trainer("stopped")
    for run, steps in ((whole, 12), (stopped, 5)):
        for _ in range(steps):
            run.one_step()
    stopped.save()
    resumed = trainer("stopped")
    assert resumed.progress.step == 5 and resumed.progress.samples == 40
    for _ in range(7):
        resumed.one_step()
    assert torch.equal(whole.stage.model.weight, resumed.stage.model.weight)


def test_a_run_stops_after_its_minutes_logs_and_exports(tmp_path: Path) -> None:
    stage = _LineStage()
    (tmp_path / "i2p").mkdir()  # as an export leaves it
    Trainer(stage, tmp_path, "i2p", TrainingSettings(minutes=0.02, learning_rate=0.05, checkpoint_seconds=0.5)).run()
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines[0].startswith("step,samples,seconds,loss,samples_per_second,error")
    assert len(lines) >= 3 and stage.exported == len(lines) - 1
    errors = [float(line.split(",")[-1]) for line in lines[1:]]
    assert errors[-1] < errors[0]
    assert not list(tmp_path.glob("*.partial"))
    assert len(list((tmp_path / "pictures").glob("step_*.png"))) == len(lines) - 1
    Trainer(stage, tmp_path, "i2p", TrainingSettings(minutes=0.02)).run()
    assert (tmp_path / "log.csv").read_text().splitlines() == lines, "a run that is over adds nothing"


class _KilledStage(_LineStage):
    """Fits a line; the run is killed while this is exported."""

    def export(self, directory: Path) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("exported_minutes", [0.0, 2.0])
def test_a_run_that_is_killed_before_its_export_makes_up_for_it(tmp_path: Path, exported_minutes: float) -> None:
    def run(stage: _LineStage, minutes: float) -> None:
        seconds = iter(range(1000))
        Trainer(stage, tmp_path, "i2p", TrainingSettings(minutes=minutes), clock=lambda: float(next(seconds))).run()

    if exported_minutes:
        run(_LineStage(), exported_minutes)
    (tmp_path / "i2p").mkdir()  # as an export leaves it
    with pytest.raises(KeyboardInterrupt):
        run(_KilledStage(), 3.0)
    again = _LineStage()
    run(again, 3.0)
    assert again.exported == 1
    assert (tmp_path / "log.csv").read_text().splitlines()[-1].startswith("180,1440,180.0,")


class _WideLineStage(_LineStage):
    """Another network."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Linear(3, 1)


def test_the_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    Trainer(_LineStage(), tmp_path, "i2p", TrainingSettings(minutes=1.0)).save()
    with pytest.raises(ConfigurationError, match=rf"^{tmp_path}/checkpoint.pt is of a run with another .* --out"):
        Trainer(_WideLineStage(), tmp_path, "i2p", TrainingSettings(minutes=1.0))


@pytest.mark.parametrize("made_with", ["other weights", None])
def test_a_checkpoint_is_resumed_with_the_weights_it_was_made_with_only(tmp_path: Path, made_with: str | None) -> None:
    def trainer(based_on: str) -> Trainer:
        return Trainer(_LineStage(), tmp_path, "i2p", TrainingSettings(minutes=1.0), based_on=based_on)

    first = trainer(made_with or "")
    first.one_step()
    first.save()
    if made_with is None:  # as earlier versions did
        state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
        del state["based_on"]
        torch.save(state, tmp_path / "checkpoint.pt")
    assert trainer(made_with or "").progress.step == 1
    anew = trainer("these weights")
    assert anew.progress.step == 0
    assert torch.equal(anew.stage.model.weight, _LineStage().model.weight)


def test_an_export_that_was_killed_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_model: ImageToPoints, directory: Path, _dtype: torch.dtype) -> None:
        directory.mkdir()
        (directory / ".tmp1234").touch()
        raise KeyboardInterrupt

    model = ImageToPoints(TINY)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(export, "save_network", killed)
        export.export_network(model, tmp_path / "i2p")
    assert not (tmp_path / "i2p").exists()
    export.export_network(model, tmp_path / "i2p")
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} == {
        "i2p", "i2p/config.json", "i2p/model.safetensors"
    }  # fmt: skip


def test_the_moving_average_follows_the_weights() -> None:
    model = nn.Linear(1, 1)
    average = MovingAverage(model, decay=0.9)
    with torch.no_grad():
        model.weight.fill_(3.0)
    start = float(average.weights["weight"])
    average.follow(model)
    assert float(average.weights["weight"]) == pytest.approx(3.0 + 0.1 * (start - 3.0)), "faster in the first steps"
    for _ in range(99):
        average.follow(model)
    assert float(average.weights["weight"]) == pytest.approx(3.0, abs=1e-3)
    assert average.steps == 100


def test_the_moving_average_goes_on_where_it_was() -> None:
    model = nn.Linear(1, 1)
    whole, stopped = MovingAverage(model), MovingAverage(model)
    for value in range(5):
        with torch.no_grad():
            model.weight.fill_(value)
        whole.follow(model)
        stopped.follow(model)
    resumed = MovingAverage(nn.Linear(1, 1))
    resumed.load({name: tensor.clone() for name, tensor in stopped.weights.items()}, 5)
    for average in (whole, resumed):
        average.follow(model)
    assert torch.equal(whole.weights["weight"], resumed.weights["weight"])


def test_the_moving_average_does_not_mind_tables_that_change_their_size() -> None:
    model = nn.Linear(1, 1)
    model.register_buffer("table", torch.zeros(3), persistent=False)
    average = MovingAverage(model)
    model.table = torch.zeros(5)
    average.follow(model)
    model.load_state_dict(average.weights)


def test_confidence_of_the_sky_is_lowered_and_its_points_do_not_count(rooms: Clips) -> None:
    views = load_views(rooms, np.array([1]), np.array([[0, 3]]))
    assert views.sky[:, :, :4, :8].all() and not views.sky[:, :, 4:].any() and not (views.sky & views.valid).any()
    confidence = torch.full(views.valid.shape, 3.0, requires_grad=True)
    distances = torch.where(views.valid, 0.01, 1e6)
    (confidence_weighted(distances, confidence, views.valid) + sky_confidence(confidence, views.sky)).backward()
    assert confidence.grad is not None
    assert (confidence.grad[views.sky] > 0).all(), "a step down the gradient lowers it"
    assert (confidence.grad[views.valid] < 0).all()


def _i2p_stage(rooms: Clips, views: int = 3) -> ImageToPointsStage:
    model = ImageToPoints(TINY)
    initialise_weights(model)
    small = Clips(
        rooms.names, rooms.weight, rooms.colour[:, :, :16, :16], rooms.depth[:, :, :16, :16], rooms.T_world_camera,
        rooms.camera, rooms.empty_is_sky,
    )  # fmt: skip
    phases = [PhaseData(16, 0.5, small), PhaseData(SIDE, 1.0, rooms)]
    return ImageToPointsStage(model, phases, rooms, BatchSettings(12, views))


def test_i2p_learns_through_its_phases_and_every_trained_weight_has_a_gradient(rooms: Clips) -> None:
    stage = _i2p_stage(rooms)
    losses = []
    for progress, side in ((0.0, 16), (0.49, 16), (0.5, SIDE), (1.0, SIDE)):
        loss, samples = stage.loss(np.random.default_rng(1), progress)
        assert stage.model.config.image_size == (side, side)
        assert samples >= 4
        losses.append(loss)
    losses[-1].backward()
    missing = [name for name, p in stage.model.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing and torch.isfinite(losses[-1])
    with torch.no_grad():
        figures, picture = stage.validate(), stage.picture()
    assert np.isfinite(list(figures.values())).all() and {"sky_confidence", "scale_error"} <= set(figures)
    halves = figures["point_error_narrow"] + figures["point_error_rooms"]
    assert figures["point_error"] == pytest.approx(halves / 2) and halves > 0
    seen = figures["point_error_seen_narrow"] + figures["point_error_seen_rooms"]
    assert figures["point_error_seen"] == pytest.approx(seen / 2) and seen > 0
    assert picture.shape == (2 * SIDE, 16 * SIDE, 3)


def test_true_overlaps_are_those_that_retrieval_is_measured_by(rooms: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slam3r_lab.evaluation.overlap.GRID_STEP", 1)  # a coarse one differs by its border
    views = load_views(rooms, np.array([0, 1]), np.array([[3, 4, 9, 1], [0, 2, 1, 5]]))
    shares = true_overlaps(views)
    for sample, view in np.ndindex(*shares.shape):
        query, other = (_true_pointmap(views, sample, each) for each in (0, 1 + view))
        assert float(shares[sample, view]) == pytest.approx(overlap(query, other), abs=0.08)
    assert shares.max() > 0.8 and shares.min() < shares.max() - 0.05


def _true_pointmap(views: Views, sample: int, view: int) -> TruePointmap:
    focal, column, row = views.camera[sample, view].tolist()
    return TruePointmap(
        points_camera=views.points_camera[sample, view].numpy(),
        valid=views.valid[sample, view].numpy(),
        T_world_camera=views.T_world_camera[sample, view].double().numpy(),
        camera=Camera(SIDE, SIDE, focal, focal, column, row),
    )


def test_windows_of_two_to_eleven_views_are_trained_on(rooms: Clips) -> None:
    stage = _i2p_stage(rooms, views=11)
    counts = set()
    for seed in range(60):
        random = np.random.default_rng(seed)
        counts.add(stage._window_batch(random, stage._phases[1]).images.shape[1])
    assert counts == set(range(2, 12))


def test_correlation_and_l2w_train_on_what_i2p_gives(rooms: Clips, tmp_path: Path) -> None:
    i2p = _i2p_stage(rooms).model
    correlation = CorrelationStage(i2p, rooms, rooms, queries=2)
    loss, _ = correlation.loss(np.random.default_rng(0), 0.0)
    loss.backward()
    assert i2p.correlation_head.fc1.weight.grad is not None
    with torch.no_grad():
        assert correlation.picture().shape == (4 * SIDE, 7 * SIDE, 3)
        figures = correlation.validate()
    assert np.isfinite(list(figures.values())).all() and 0 < figures["precision"] <= 1
    i2p = i2p.eval().requires_grad_(False)
    cache = build_cache(i2p, rooms, 1.0, augment=True)
    l2w = LocalToWorldStage(new_l2w(i2p), (rooms, cache), (rooms, cache), views_in_batch=14)
    loss, samples = l2w.loss(np.random.default_rng(0), 0.0)
    loss.backward()
    assert samples >= 1 and torch.isfinite(loss)
    with torch.no_grad():
        figures = l2w.validate()
        assert np.isfinite(list(figures.values())).all()
        halves = figures["point_error_narrow"] + figures["point_error_rooms"]
        assert figures["point_error"] == pytest.approx(halves / 2) and halves > 0
        assert l2w.picture().shape == (4 * SIDE, 4 * SIDE, 3)
    l2w.export(tmp_path / "l2w")
    assert (tmp_path / "l2w" / "model.safetensors").is_file()


def test_l2w_trains_on_fewer_families_than_it_is_validated_on(rooms: Clips) -> None:
    i2p = ImageToPoints(TINY).eval().requires_grad_(False)
    cache = build_cache(i2p, rooms, 1.0, augment=False)
    mine = TokenCache(cache.mirrored[1:], cache.tokens[1:], cache.points_camera[1:])
    l2w = LocalToWorldStage(new_l2w(i2p), (rooms.share(1, 2), mine), (rooms, cache), views_in_batch=14)
    with torch.no_grad():
        figures = l2w.validate()
    assert {"point_error_narrow", "point_error_rooms", "point_error_seen"} <= set(figures)
    assert "point_error_seen_narrow" not in figures and np.isfinite(list(figures.values())).all()


def test_a_run_in_bfloat16_trains_float32_weights(rooms: Clips, tmp_path: Path) -> None:
    settings = TrainingSettings(minutes=1.0, precision=torch.bfloat16)
    trainer = Trainer(_i2p_stage(rooms), tmp_path, "i2p", settings, clock=lambda: 0.0)
    before = trainer.stage.model.state_dict()["decoder_embedding.weight"].clone()
    assert math.isfinite(trainer.one_step())
    after = trainer.stage.model.state_dict()["decoder_embedding.weight"]
    assert after.dtype == torch.float32 and not torch.equal(before, after)


def muon_steps(workers: Workers) -> list[Tensor]:
    """Matrices after two steps of the optimiser with the same gradients in every worker."""
    generator = torch.Generator().manual_seed(4)
    matrices = [torch.randn(shape, generator=generator) for shape in ((8, 8), (4, 12), (12, 4), (24, 8))]
    optimiser = Muon([{"params": matrices[:3]}, {"params": matrices[3:], "parts": 3}], 0.1, workers)
    for _ in range(2):
        for matrix in matrices:
            matrix.grad = torch.randn(matrix.shape, generator=generator)
        optimiser.step()
    return matrices


class RankedLoss(nn.Module):
    """A loss whose gradients are told beforehand: those of `own` only the first worker reaches, of `never` none."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.both, self.own, self.never = (nn.Parameter(torch.full((2, 2), float(rank))) for _ in range(3))

    def forward(self) -> Tensor:
        loss = 3.0 * self.rank * self.both.sum()
        return loss + 10.0 * self.own.sum() if self.rank == 0 else loss


_AVERAGE = """
import sys, torch
from slam3r_lab.training.workers import run_workers
from test_stages import RankedLoss, muon_steps

def average(workers, directory):
    own = RankedLoss(workers.rank)
    together = workers.averaging_gradients(own)
    together().backward()
    values = {name: (parameter.detach(), parameter.grad) for name, parameter in own.named_parameters()}
    numbers = workers.average([workers.rank + 1.0], torch.device("cpu"))
    torch.save((values, numbers, muon_steps(workers)), f"{directory}/{workers.rank}.pt")

if __name__ == "__main__":
    run_workers(average, 2, sys.argv[1])
"""


def test_workers_average_gradients_and_share_the_orthogonalising(tmp_path: Path) -> None:
    script = tmp_path / "average.py"
    script.write_text(_AVERAGE)
    here = Path(__file__).resolve()
    path = os.pathsep.join([str(here.parents[3]), str(here.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONFAULTHANDLER": "1"}
    subprocess.run([sys.executable, script, tmp_path], check=True, timeout=120, env=environment)
    for rank in range(2):
        values, numbers, matrices = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert torch.equal(values["both"][1], torch.full((2, 2), 1.5))
        assert torch.equal(values["own"][1], torch.full((2, 2), 5.0)), "the average over both, where one had none"
        assert values["never"][1] is None
        assert all(torch.equal(start, torch.zeros(2, 2)) for start, _ in values.values()), "all begin with the first's"
        assert numbers == [1.5]
        assert all(torch.allclose(*pair, atol=1e-5) for pair in zip(matrices, muon_steps(Workers()), strict=True))


_STEPS = """
import sys, torch
from pathlib import Path
from slam3r_lab.training.trainer import Trainer, TrainingSettings
from slam3r_lab.training.workers import run_workers
from test_stages import _LineStage

def steps(workers, directory):
    trainer = Trainer(_LineStage(), Path(directory), "i2p", TrainingSettings(minutes=60.0), workers, clock=lambda: 0.0)
    losses = [trainer.one_step() for _ in range(5)]
    torch.save((losses, trainer.progress.samples, trainer.stage.model.state_dict()), f"{directory}/{workers.rank}.pt")

if __name__ == "__main__":
    run_workers(steps, 2, sys.argv[1])
"""


def test_workers_that_see_different_batches_stay_alike(tmp_path: Path) -> None:
    script = tmp_path / "steps.py"
    script.write_text(_STEPS)
    here = Path(__file__).resolve()
    path = os.pathsep.join([str(here.parents[3]), str(here.parent), os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, script, tmp_path], check=True, timeout=120, env={**os.environ, "PYTHONPATH": path})
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    alone = Trainer(_LineStage(), tmp_path / "alone", "i2p", TrainingSettings(minutes=60.0), clock=lambda: 0.0)
    losses = [alone.one_step() for _ in range(5)]
    assert first[0] == second[0] and first[1] == second[1] == 2 * alone.progress.samples
    assert all(torch.equal(first[2][name], second[2][name]) for name in first[2])
    assert losses[0] != first[0][0], "each worker has its own batches"
    assert not torch.equal(first[2]["weight"], alone.stage.model.weight)


_FAIL = """
from slam3r_lab.training.clips import DataError
from slam3r_lab.training.workers import run_workers

def fail(workers):
    if workers.rank == 1:
        raise DataError("this file is damaged")
    workers.wait()

if __name__ == "__main__":
    try:
        run_workers(fail, 2)
    except DataError as error:
        print(error, "in fail" in str(error.__cause__))
"""


def test_what_a_worker_raises_is_raised_by_the_run(tmp_path: Path) -> None:
    script = tmp_path / "fail.py"
    script.write_text(_FAIL)
    path = os.pathsep.join([str(Path(__file__).resolve().parents[3]), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, script], check=True, timeout=120, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.stdout == "this file is damaged True\n" and "Traceback" not in run.stderr


def test_match_targets_of_a_view_with_itself_are_its_own_patches(rooms: Clips) -> None:
    points = load_views(rooms, np.array([0]), np.array([[4]])).points_camera[:, 0]
    camera = torch.from_numpy(rooms.camera[:1])
    weights, visible = match_targets(points, torch.eye(4)[None], points, camera, patch=16)
    assert visible.all()
    assert torch.allclose(weights[0], torch.eye(4), atol=1e-3)


def test_match_targets_follow_a_turn_of_the_camera(rooms: Clips) -> None:
    """A wall straight ahead, seen by a camera moved right by one patch: its patches lie one column further left."""
    focal, middle = 40.0, (SIDE - 1) / 2
    rows, columns = torch.meshgrid(torch.arange(SIDE).float(), torch.arange(SIDE).float(), indexing="ij")
    wall = 2.0 * torch.stack([(columns - middle) / focal, (rows - middle) / focal, torch.ones_like(rows)], dim=-1)[None]
    pose = torch.eye(4)[None].clone()
    pose[0, 0, 3] = -2.0 * 16 / focal
    camera = torch.tensor([[focal, middle, middle]])
    weights, visible = match_targets(wall, pose, wall, camera, patch=16)
    assert visible[0].tolist() == [False, True, False, True]
    assert weights[0, 1].argmax() == 0 and weights[0, 3].argmax() == 2


_WAIT = """
import os, sys, time
from slam3r_lab.training.workers import run_workers

def wait(workers, directory):
    open(f"{directory}/{os.getpid()}.pid", "w").close()
    time.sleep(300)

if __name__ == "__main__":
    run_workers(wait, 2, sys.argv[1])
"""


def test_workers_end_with_the_run_that_is_stopped(tmp_path: Path) -> None:
    script = tmp_path / "wait.py"
    script.write_text(_WAIT)
    path = os.pathsep.join([str(Path(__file__).resolve().parents[3]), os.environ.get("PYTHONPATH", "")])
    run = subprocess.Popen([sys.executable, script, tmp_path], env={**os.environ, "PYTHONPATH": path})
    try:
        pids = _until(lambda: found if len(found := [int(p.stem) for p in tmp_path.glob("*.pid")]) == 2 else None)
        run.terminate()
        assert run.wait(30) != 0
        assert _until(lambda: True if not any(_is_running(pid) for pid in pids) else None)
    finally:
        run.kill()


def _until(found: Callable[[], Any], seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (value := found()) is not None:
            return value
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s")


def _is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False

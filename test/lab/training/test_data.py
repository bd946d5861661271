"""Training data: rendered files, recordings cropped as the engine does it, seeds, and the configuration."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slam3r_lab.commands import train
from slam3r_lab.training.arrays_file import read_cache, write_arrays
from slam3r_lab.training.clips import FRAMES_PER_CLIP, Clips, DataError
from slam3r_lab.training.config import ConfigurationError, Phase, TrainingConfig
from slam3r_lab.training.data import check_data, load_training, render_data
from slam3r_lab.training.recorded_data import clip_frames, load_recording, recordings_in
from slam3r_lab.training.rendered_data import family_folder, load_world, render_world_file, rendered_seeds, world_file
from slam3r_lab.training.seeds import FIRST_DEMO_SEED, TRAINING_SEEDS, VALIDATION_SEEDS, is_held_out
from slam3r_lab.training.windows import load_views
from slam3r_lab.training.workers import Workers
from slam3r_lab.worlds.paths.choose import PathSettings
from slam3r_lab.worlds.renderer import RenderedFrame
from slam3r_lab.worlds.sequence_files import render_sequence, write_sequence
from slam3r_ros.engine.encoder import resize_and_crop
from slam3r_ros.geometry.camera import Camera

SIZE = (48, 36)


@pytest.fixture(scope="module")
def frames() -> list[RenderedFrame]:
    return list(render_sequence(FIRST_DEMO_SEED, PathSettings(FRAMES_PER_CLIP, 8.0), SIZE, texels_per_metre=16.0))


@pytest.fixture(scope="module")
def recording(frames: list[RenderedFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings") / "room"
    assert write_sequence(iter(frames), 8.0, folder) == FRAMES_PER_CLIP
    return folder


def test_written_sequence_has_the_promised_layout(frames: list[RenderedFrame], recording: Path) -> None:
    assert len(list((recording / "rgb").iterdir())) == FRAMES_PER_CLIP
    depth = np.asarray(Image.open(recording / "depth" / "000001.png"))
    assert depth.dtype == np.uint16
    assert depth / 1000 == pytest.approx(frames[1].depth, abs=6e-4)
    values = [float(value) for value in (recording / "intrinsics.txt").read_text().split()]
    assert values == pytest.approx([frames[0].camera.fx, frames[0].camera.fy, 23.5, 17.5, *SIZE], abs=1e-5)
    lines = [line.split() for line in (recording / "poses.txt").read_text().splitlines() if not line.startswith("#")]
    assert [float(line[0]) for line in lines[:3]] == pytest.approx([0.0, 0.125, 0.25])
    assert [float(value) for value in lines[2][1:4]] == pytest.approx(frames[2].T_world_camera[:3, 3], abs=1e-6)
    stored = np.asarray(Image.open(recording / "rgb" / "000000.jpg"), float)
    assert np.abs(stored - frames[0].colour).mean() < 8


def test_a_recording_becomes_clips_whose_points_agree_with_its_own(
    frames: list[RenderedFrame], recording: Path, tmp_path: Path
) -> None:
    assert recordings_in(recording.parent) == recordings_in(recording) == [recording]
    clips = load_recording(recording, (32, 32), tmp_path)
    assert clips is not None and clips.colour.shape == (1, FRAMES_PER_CLIP, 32, 32, 3)
    stored = np.asarray(Image.open(recording / "rgb" / "000005.jpg"))
    assert np.array_equal(clips.colour[0, 5], resize_and_crop(stored, (32, 32)))
    frame = frames[5]
    points = load_views(clips, np.array([0]), np.array([[5]])).points_camera[0, 0].numpy()
    camera: Camera = frame.camera
    column = np.rint(points[..., 0] / points[..., 2] * camera.fx + camera.cx).astype(int)
    row = np.rint(points[..., 1] / points[..., 2] * camera.fy + camera.cy).astype(int)
    assert points[..., 2] == pytest.approx(frame.depth[row.clip(0, 35), column.clip(0, 47)], abs=2e-2)
    again = load_recording(recording, (32, 32), tmp_path)
    assert again is not None and np.array_equal(again.depth, clips.depth)


def test_clips_have_no_gaps_and_about_the_right_rate() -> None:
    seconds = np.concatenate([np.arange(300) / 30, 60 + np.arange(200) / 30])
    clips = clip_frames((seconds * 1e9).astype(np.int64))
    assert len(clips) == 2
    for clip in clips:
        gaps = np.diff(seconds[clip])
        assert len(clip) == FRAMES_PER_CLIP and gaps.max() < 0.2 and gaps.min() > 0.12


def test_a_recording_whose_files_do_not_belong_together_says_so(recording: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    for part in ("rgb", "depth"):
        (broken / part).mkdir(parents=True)
    for name in ("poses.txt", "intrinsics.txt"):
        (broken / name).write_text((recording / name).read_text())
    with pytest.raises(DataError, match="40 poses"):
        load_recording(broken, (32, 32), tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("poses.txt", "1 2 three\n", r"poses.txt', line 1"),
        ("intrinsics.txt", "500 500 320 240\n", r"intrinsics.txt': expected fx fy cx cy width height"),
        ("poses.txt", "# t tx ty tz qx qy qz qw\n", r"got 0 images, 0 depth images, 0 poses"),
    ],
)
def test_a_wrong_file_of_a_recording_is_named(
    recording: Path, tmp_path: Path, file: str, text: str, reason: str
) -> None:
    broken = tmp_path / "broken"
    for part in ("rgb", "depth"):
        (broken / part).mkdir(parents=True)
    (broken / "poses.txt").write_text("0 0 0 0 0 0 0 1\n")
    (broken / "intrinsics.txt").write_text((recording / "intrinsics.txt").read_text())
    (broken / file).write_text(text)
    with pytest.raises(DataError, match=reason):
        load_recording(broken, (32, 32), tmp_path)


def test_rendered_worlds_are_written_once_and_join_recordings(recording: Path, tmp_path: Path) -> None:
    folder = family_folder(tmp_path, "narrow", 32)
    assert folder == tmp_path / "narrow_32"
    assert render_world_file(folder, 0, "narrow", 32)
    written = (folder / "room_00000.npz").stat().st_mtime_ns
    assert render_world_file(folder, 0, "narrow", 32)
    assert (folder / "room_00000.npz").stat().st_mtime_ns == written
    config = TrainingConfig(data=(tmp_path, recording.parent), out=tmp_path / "out", rooms=3)
    clips = load_training(config, Phase(("narrow",), 32), 112, Workers())
    assert clips.names.tolist() == ["narrow:0", "room:0"]
    assert clips.empty_is_sky.tolist() == [True, False]
    shares = [load_training(config, Phase(("narrow",), 32), 112, Workers(rank, 2)) for rank in (0, 1)]
    assert sorted(name for share in shares for name in share.names.tolist()) == ["narrow:0", "room:0"]
    assert family_folder(folder, "narrow", 32) == folder, "a folder that holds worlds directly is one"
    with pytest.raises(DataError, match="--stage data"):
        rendered_seeds(folder, [7])
    with pytest.raises(DataError, match="different shapes"):
        Clips.joined([clips, _cropped(clips)], 4)


def test_families_are_drawn_alike_whatever_their_numbers(recording: Path, tmp_path: Path) -> None:
    for family, seeds in (("narrow", (0, 1, 2)), ("rooms", (0,))):
        for seed in seeds:
            assert render_world_file(family_folder(tmp_path, family, 16), seed, family, 16)
    config = TrainingConfig(data=(tmp_path, recording), out=tmp_path / "out", rooms=3)
    clips = load_training(config, Phase.parse("narrow+rooms+rooms:16"), 112, Workers())
    assert clips.names.tolist() == ["narrow:0", "narrow:1", "narrow:2", "rooms:0", "room:0"]
    assert clips.families == ("narrow", "room", "rooms") and clips.of_family("rooms").tolist() == [3]
    alike = clips.like(clips.share(1, 2))
    assert alike.names.tolist() == ["narrow:0", "rooms:0"], "as many of each family"
    assert sorted(clips.like(clips).names.tolist()) == sorted(clips.names.tolist())
    drawn = clips.draw(np.random.default_rng(0), 6000)
    expected = np.array([4 / 9, 4 / 9, 4 / 9, 8 / 3, 1.0]) / 5
    assert np.bincount(drawn) / 6000 == pytest.approx(expected, abs=0.02)
    with pytest.raises(DataError, match="wide_16"):
        check_data(dataclasses.replace(config, curriculum=(Phase.parse("narrow+wide:16"),)), 112)


def _cropped(clips: Clips) -> Clips:
    return Clips(
        clips.names, clips.weight, clips.colour[:, :, :16], clips.depth[:, :, :16], clips.T_world_camera, clips.camera,
        clips.empty_is_sky,
    )  # fmt: skip


def test_arrays_are_read_back_by_their_key_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "arrays.npz"
    write_arrays(path, {"a": np.arange(3)}, "this")
    assert read_cache(path, "that") is None and read_cache(tmp_path / "none.npz", "this") is None
    arrays = read_cache(path, "this")
    assert arrays is not None and {name: array.tolist() for name, array in arrays.items()} == {"a": [0, 1, 2]}
    assert [file.name for file in path.parent.iterdir()] == ["arrays.npz"]


@pytest.mark.parametrize("length", [0, 100, 1500])
def test_a_damaged_file_is_named_or_made_again(tmp_path: Path, length: int) -> None:
    path = _write_world(tmp_path, 3, "narrow")
    path.write_bytes(path.read_bytes()[:length])
    assert read_cache(path, "narrow") is None
    with pytest.raises(DataError, match=rf"{path} cannot be read .*: remove it"):
        load_world(tmp_path, "narrow", 3)


def test_worlds_are_not_trained_on_as_those_of_another_family(tmp_path: Path) -> None:
    path = _write_world(tmp_path, 3, "narrow")
    assert load_world(tmp_path, "narrow", 3).names.tolist() == ["narrow:3"]
    with pytest.raises(DataError, match=rf"{path} is a world of the family 'narrow', not 'wide'"):
        load_world(tmp_path, "wide", 3)
    config = TrainingConfig(data=(tmp_path,), curriculum=(Phase.parse("narrow+wide:16"),))
    for use in (check_data, render_data):
        with pytest.raises(DataError, match="of the family 'narrow', not 'wide'"):
            use(config, 16)


def _write_world(folder: Path, seed: int, family: str) -> Path:
    """A file as of a rendered world, with two empty frames of 16 pixels."""
    path = world_file(folder, seed)
    arrays = {
        "colour": np.zeros((2, 16, 16, 3), np.uint8),
        "depth": np.ones((2, 16, 16), np.float16),
        "T_world_camera": np.tile(np.eye(4, dtype=np.float32), (2, 1, 1)),
        "focal": np.array(15.0, np.float32),
    }
    write_arrays(path, arrays, family)
    return path


def test_seed_ranges_do_not_meet_and_test_seeds_are_never_trained_on(tmp_path: Path) -> None:
    assert set(TRAINING_SEEDS).isdisjoint(VALIDATION_SEEDS)
    assert is_held_out(FIRST_DEMO_SEED) and is_held_out(VALIDATION_SEEDS[0]) and not is_held_out(TRAINING_SEEDS[-1])
    assert max(*TRAINING_SEEDS, *VALIDATION_SEEDS) < FIRST_DEMO_SEED
    with pytest.raises(DataError, match="at most 10000"):
        check_data(TrainingConfig(data=(tmp_path,), rooms=10_001), 112)


def _parse(*words: str) -> TrainingConfig:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return train.config_from(parser.parse_args(words))


def test_the_command_line_is_the_configuration() -> None:
    assert _parse() == TrainingConfig()
    config = _parse(
        "--stage", "i2p", "--data", "a", "b", "--curriculum", "rooms:112:0.3", "narrow+wide", "--from", "embedded",
        "--learning-rate", "0.0005", "--checkpoint-minutes", "2", "--views", "11",
    )  # fmt: skip
    assert config.stage == "i2p" and config.data == (Path("a"), Path("b")) and config.start == "embedded"
    assert config.curriculum == (Phase(("rooms",), 112, 0.3), Phase(("narrow", "wide"), None, 1.0))
    assert [str(phase) for phase in config.curriculum] == ["rooms:112:0.3", "narrow+wide"]
    assert (config.learning_rate, config.checkpoint_minutes, config.views) == (0.0005, 2.0, 11)


@pytest.mark.parametrize("words", [("--minutes", "0"), ("--views", "12"), ("--rooms", "-1")])
def test_settings_out_of_range_are_refused(words: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=words[0]):
        _parse(*words)


@pytest.mark.parametrize("text", ["rooms:x", ":112", "rooms:112:0", "rooms:112:1:2", "rooms+:112"])
def test_a_wrong_curriculum_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="FAMILIES"):
        Phase.parse(text)

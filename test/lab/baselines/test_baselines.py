"""Baselines on a short rendered sequence whose truth is known."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from slam3r_lab.baselines import BASELINES, BaselineError, BaselineResult, run_baseline
from slam3r_lab.baselines import colmap as colmap_module
from slam3r_lab.evaluation.trajectory import compare_trajectories
from slam3r_lab.oracle import oracle_networks
from slam3r_lab.sequences.readers import open_sequence
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_lab.worlds.paths.choose import PathSettings
from slam3r_lab.worlds.sequence_files import render_sequence, write_sequence

SEED = 20_003


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> ImageSequence:
    """16 images of 256 x 192 pixels, 5 a second."""
    folder = tmp_path_factory.mktemp("rendered")
    write_sequence(render_sequence(SEED, PathSettings(16, 5.0), (256, 192)), 5.0, folder)
    return open_sequence(folder)


def true_poses(sequence: ImageSequence) -> dict[int, NDArray[np.float64]]:
    return {frame.stamp_ns: frame.T_world_camera for frame in sequence.frames if frame.T_world_camera is not None}


def ate_m(result: BaselineResult, sequence: ImageSequence) -> float:
    compared = compare_trajectories(result.trajectory, true_poses(sequence))
    assert compared is not None and compared.metrics.compared == len(result.trajectory)
    return compared.metrics.ate_rmse_m


def test_standing_still_is_wrong_by_the_spread_of_the_path(rendered: ImageSequence) -> None:
    result = run_baseline("identity", rendered)
    positions = np.array([pose[:3, 3] for pose in true_poses(rendered).values()])
    spread = np.sqrt(((positions - positions.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert ate_m(result, rendered) == pytest.approx(spread, rel=1e-6)
    assert [pose.stamp_ns for pose in result.trajectory] == [frame.stamp_ns for frame in rendered.frames]
    assert result.points is None


def test_constant_velocity_is_the_best_straight_line(rendered: ImageSequence) -> None:
    positions = np.array([pose[:3, 3] for pose in true_poses(rendered).values()])
    times = np.column_stack([np.ones(len(positions)), np.array(list(true_poses(rendered))) * 1e-9])
    line = times @ np.linalg.lstsq(times, positions, rcond=None)[0]
    best = np.sqrt(((positions - line) ** 2).sum(axis=1).mean())
    result = run_baseline("constant-velocity", rendered)
    assert ate_m(result, rendered) == pytest.approx(best, rel=1e-4)
    assert best < ate_m(run_baseline("identity", rendered), rendered)


def test_exact_single_views_are_chained_to_the_path(rendered: ImageSequence) -> None:
    """With true points only the optical flow's rounding to pixels is wrong."""
    result = run_baseline("i2p-one-view", rendered, oracle_networks(rendered, "exact"))
    assert len(result.trajectory) == len(rendered) and not result.problems
    assert ate_m(result, rendered) < 0.25 * ate_m(run_baseline("identity", rendered), rendered)
    compared = compare_trajectories(result.trajectory, true_poses(rendered))
    assert compared is not None and result.points is not None and len(result.points) == len(rendered) * 500
    extent = np.ptp(compared.alignment.apply(result.points.points_world), axis=0)
    assert (extent > 1).all() and (extent < 12).all()  # of a room


def test_a_frame_that_cannot_be_followed_stands_still_and_is_told(rendered: ImageSequence, tmp_path: Path) -> None:
    Image.new("RGB", (256, 192), (127, 127, 127)).save(tmp_path / "grey.png")
    frames = list(rendered.frames[:4])
    frames[2] = replace(frames[2], image_path=tmp_path / "grey.png")
    grey = replace(rendered, frames=tuple(frames))
    result = run_baseline("i2p-one-view", grey, oracle_networks(grey, "exact"))
    positions = [pose.T_world_camera[:3, 3] for pose in result.trajectory]
    assert "2 frames could not be matched" in result.problems[0]
    assert np.linalg.norm(positions[1]) > 0
    np.testing.assert_array_equal(positions[2], positions[1])


@pytest.mark.skipif(importlib.util.find_spec("pycolmap") is None, reason="pycolmap is not installed (extra 'colmap')")
def test_colmap_finds_the_path_to_centimetres(rendered: ImageSequence) -> None:
    rendered = rendered.every(2)
    result = run_baseline("colmap", rendered)
    assert len(result.trajectory) >= 6
    assert ate_m(result, rendered) < 0.02
    assert result.points is not None and len(result.points) > 100 and result.points.confidence.min() >= 2
    assert 0 < result.seconds < 60


@pytest.mark.skipif(importlib.util.find_spec("pycolmap") is None, reason="pycolmap is not installed (extra 'colmap')")
def test_colmap_without_a_pair_says_so(rendered: ImageSequence) -> None:
    for count in (0, 1):
        result = run_baseline("colmap", rendered.every(1, count))
        assert result.trajectory == [] and result.points is None and "no pair" in result.problems[-1]


def test_colmap_is_given_a_share_of_long_sequences(rendered: ImageSequence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colmap_module, "MOST_IMAGES", 4)
    monkeypatch.setattr(colmap_module, "_reconstruct", lambda *_: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setitem(__import__("sys").modules, "pycolmap", object())
    assert "every 4. image" in run_baseline("colmap", rendered).problems[0]


def test_without_pycolmap_the_error_says_what_to_install(
    rendered: ImageSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BaselineError, match=r"pip install '\.\[colmap\]' in the source tree"):
        run_baseline("colmap", rendered)


def test_an_unreadable_image_is_left_out_and_named(rendered: ImageSequence, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    frames = list(rendered.frames)
    frames[3] = replace(frames[3], image_path=tmp_path / "broken.jpg")
    broken = replace(rendered, frames=tuple(frames), problems=[])
    result = run_baseline("i2p-one-view", broken, oracle_networks(broken, "exact"))
    assert len(result.trajectory) == len(rendered) - 1
    assert any("broken.jpg" in problem for problem in result.problems)


def test_unknown_names_and_missing_networks_are_told(rendered: ImageSequence) -> None:
    with pytest.raises(BaselineError, match="identity, constant-velocity, i2p-one-view, colmap"):
        run_baseline("magic", rendered)
    with pytest.raises(BaselineError, match="needs networks"):
        run_baseline("i2p-one-view", rendered)
    assert BASELINES == ("identity", "constant-velocity", "i2p-one-view", "colmap")

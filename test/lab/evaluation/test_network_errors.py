"""Errors of the networks alone: none for those that answer from the truth, and the known one of a known change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from wall_sequence import write_folder

from slam3r_lab.evaluation.network_errors import SCENE_FRAMES, WINDOW_VIEWS, NetworkProbe
from slam3r_lab.oracle import oracle_networks
from slam3r_lab.sequences.readers import open_sequence
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_ros.networks.weights import Networks
from slam3r_ros.settings import SlamSettings

SETTINGS = SlamSettings().with_values({"window.stride": 1, "window.radius": 2})


@pytest.fixture(scope="module")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> ImageSequence:
    return open_sequence(write_folder(tmp_path_factory.mktemp("wall"), 24))


def test_networks_that_answer_from_the_truth_have_no_error(sequence: ImageSequence) -> None:
    networks = oracle_networks(sequence, "exact", image_size=(32, 32))
    errors = NetworkProbe(sequence, networks, SETTINGS, 3).measure()
    assert errors is not None
    for part, counts in (
        (errors.i2p, WINDOW_VIEWS),
        (errors.l2w_from_truth, SCENE_FRAMES),
        (errors.l2w_from_predictions, SCENE_FRAMES),
    ):
        assert [each.views for each in part] == list(counts)
        assert [each.samples for each in part] == [3] * len(counts)
        assert all(each.relative_error is not None and each.relative_error < 1e-5 for each in part)


def test_noise_of_known_size_is_measured(sequence: ImageSequence) -> None:
    networks = oracle_networks(sequence, "noise=0.05", image_size=(32, 32))
    errors = NetworkProbe(sequence, networks, SETTINGS, 3).measure()
    assert errors is not None
    assert all(each.relative_error == pytest.approx(0.05, rel=0.5) for each in (*errors.i2p, *errors.l2w_from_truth))


def test_any_networks_can_be_measured(sequence: ImageSequence, tiny_networks: Networks) -> None:
    errors = NetworkProbe(sequence, tiny_networks, SETTINGS, 2).measure()
    assert errors is not None
    assert all(each.relative_error is not None and each.relative_error > 0.05 for each in errors.i2p)


def test_too_few_frames_leave_a_number_of_views_out(sequence: ImageSequence, tiny_networks: Networks) -> None:
    errors = NetworkProbe(sequence.every(1, 12), tiny_networks, SETTINGS, 2).measure()
    assert errors is not None
    assert [each.relative_error is None for each in errors.i2p] == [False, False, False, False, True]
    assert [each.relative_error is None for each in errors.l2w_from_truth] == [False, False, False, True]


def test_without_poses_only_i2p_is_measured(sequence: ImageSequence, tiny_networks: Networks) -> None:
    frames = tuple(replace(frame, T_world_camera=None) for frame in sequence.frames)
    errors = NetworkProbe(replace(sequence, frames=frames), tiny_networks, SETTINGS, 2).measure()
    assert errors is not None
    assert errors.i2p[1].relative_error is not None
    assert all(each.relative_error is None for each in errors.l2w_from_truth)


def test_without_depth_there_is_nothing_to_measure(sequence: ImageSequence, tiny_networks: Networks) -> None:
    frames = tuple(replace(frame, depth_path=None) for frame in sequence.frames)
    assert NetworkProbe(replace(sequence, frames=frames), tiny_networks, SETTINGS, 2).measure() is None

"""Keyframes one after the other: when each is measured and answered, and that what is answered is right."""

import numpy as np
import pytest
from layer_scene import depth, is_on_board, pose, view

from slam3r_ros.dense_depth import keyframe_depths
from slam3r_ros.dense_depth.keyframe_depths import DepthKeyframe, DepthTaskResult, KeyframeDepths
from slam3r_ros.dense_depth.posed_view import DepthMap
from slam3r_ros.dense_depth.tuning import TUNING
from slam3r_ros.geometry.se3 import Array

POSES = [pose(0.1 * number - 0.4, 0.03 * (number % 3)) for number in range(9)]


def keyframe(number: int, T: Array, *, is_wanted: bool = True) -> DepthKeyframe:
    """The networks know the centre square, a tenth wrong."""
    known = depth(T) * np.float32(1.1)
    known[:, :60] = known[:, 260:] = np.nan
    prior = DepthMap(known, np.where(np.isfinite(known), 0.1, np.inf).astype(np.float32))
    return DepthKeyframe(number, view(T), prior if is_wanted else None)


def answers_of(depths: KeyframeDepths, *, ended: bool) -> list[DepthTaskResult]:
    found = []
    while (task := depths.next_task(ended=ended)) is not None:
        result = task.run()
        depths.take(result)
        if result.finished is not None:
            found.append(result)
        if not ended:
            break
    return found


@pytest.fixture(scope="module")
def answers() -> list[tuple[int, DepthTaskResult]]:
    """Each with the number of keyframes that there were by then."""
    depths, found = KeyframeDepths(), []
    for number, T in enumerate(POSES):
        assert depths.add(keyframe(number, T)) is None
        found += [(number + 1, answer) for answer in answers_of(depths, ended=False)]
    return found + [(len(POSES), answer) for answer in answers_of(depths, ended=True)]


def test_each_is_answered_once_in_order_some_keyframes_later(answers: list[tuple[int, DepthTaskResult]]) -> None:
    numbers = [answer.finished.number for _, answer in answers if answer.finished is not None]
    assert numbers == list(range(len(POSES)))
    delay = 1 + TUNING.later_keyframes + TUNING.later_neighbours
    assert [count for count, _ in answers] == [min(number + delay, len(POSES)) for number in numbers]


@pytest.mark.parametrize("stage", ["dense_depth", "consistent_depth"])
def test_a_keyframe_whose_work_fails_is_answered_and_told(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError("Unable to allocate 3 GiB")

    monkeypatch.setattr(keyframe_depths, stage, full)
    depths, failures = KeyframeDepths(), []
    for number, T in enumerate(POSES[:4]):
        depths.add(keyframe(number, T))
    while (task := depths.next_task(ended=True)) is not None:
        result = task.run()
        depths.take(result)
        failures.append(result.failure)
    assert "a keyframe has no dense depth: MemoryError: Unable to allocate 3 GiB" in failures
    assert not any(each.is_wanted for each in depths._keyframes)


def test_depth_is_that_of_the_whole_image_with_sharp_edges(answers: list[tuple[int, DepthTaskResult]]) -> None:
    for number in (3, 4, 5):
        _, answer = answers[number]
        assert answer.depth is not None
        true, found = depth(POSES[number]), answer.depth
        known = found.is_known
        assert known.mean() > 0.8 and known[:, :60].mean() > 0.5, "the networks knew nothing there"
        error = np.abs(np.log(found.depth[known] / true[known]))
        assert np.median(error) < 0.01
        between = (found.depth > 1.6) & (found.depth < 2.7)
        assert between.mean() < 0.002, "nothing floats between board and wall"
        assert known[is_on_board(POSES[number])].mean() > 0.6


def test_sigma_is_what_errors_are(answers: list[tuple[int, DepthTaskResult]]) -> None:
    scores = []
    for number in (3, 4, 5):
        found = answers[number][1].depth
        assert found is not None
        known = found.is_known
        scores.append(np.abs(np.log(found.depth[known] / depth(POSES[number])[known])) / found.sigma[known])
    assert np.mean(np.concatenate(scores) < 1) > 0.6 and np.mean(np.concatenate(scores) < 3) > 0.97


def test_with_wrong_poses_nothing_dense_is_said() -> None:
    random = np.random.default_rng(3)
    depths, found = KeyframeDepths(), []
    for number, T in enumerate(POSES):
        right = keyframe(number, T)
        wrong = T.copy()
        wrong[:3, 3] += random.normal(0, 0.15, 3)
        depths.add(DepthKeyframe(number, right.view.placed(wrong), right.prior))
        found += answers_of(depths, ended=False)
    found += answers_of(depths, ended=True)
    assert len(found) == len(POSES) and sum(answer.depth is not None for answer in found) <= 2


def test_keyframes_that_only_help_are_not_answered() -> None:
    depths, found = KeyframeDepths(), []
    for number, T in enumerate(POSES):
        depths.add(keyframe(number, T, is_wanted=number % 3 == 1))
        found += answers_of(depths, ended=False)
    found += answers_of(depths, ended=True)
    assert [answer.finished.number for answer in found if answer.finished is not None] == [1, 4, 7]
    assert all(answer.depth is not None for answer in found)


def test_what_there_is_no_room_for_is_handed_back_oldest_first() -> None:
    depths, dropped = KeyframeDepths(), []
    for number in range(TUNING.remembered_keyframes + 5):
        oldest = depths.add(keyframe(number, POSES[0], is_wanted=number != 2))
        dropped += [] if oldest is None else [oldest.number]
    assert dropped == [0, 1, 3, 4]


def test_what_moves_keeps_what_was_measured() -> None:
    depths = KeyframeDepths()
    for number, T in enumerate(POSES[: 1 + TUNING.later_keyframes]):
        depths.add(keyframe(number, T))
    answers_of(depths, ended=False)
    depths.move(lambda each: each)
    task = depths.next_task(ended=True)
    assert task is not None and task.keyframes[0].measured is not None and task.measured == 1

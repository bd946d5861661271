from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import textured_image
from torch import Tensor

from slam3r_ros.engine.encoder import Encoder
from slam3r_ros.engine.keyframe_buffer import KeyframeBuffer
from slam3r_ros.engine.local_to_world_stage import LocalToWorldStage, registered_frames
from slam3r_ros.geometry.se3 import rigid, rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.networks.decoder import Pointmaps
from slam3r_ros.networks.weights import Networks
from slam3r_ros.settings import KeyframeSettings
from slam3r_ros.types import EncodedFrame, Frame, LocalPointmap, PoseEstimate, RegisteredFrame, SceneInput


@pytest.fixture(scope="module")
def keyframe(tiny_networks: Networks) -> RegisteredFrame:
    (frame,) = EncodedFrame.numbered(Encoder(tiny_networks.i2p).encode([Frame(0, textured_image(0))]))
    points, confidence = torch.ones(32, 32, 3), torch.full((32, 32), 2.0)
    local = LocalPointmap(frame, points, confidence, confidence > 1, points, confidence.mean())
    return registered_frames([local], Pointmaps(points[None], confidence[None]), registration=None)[0]


def at(keyframe: RegisteredFrame, index: int, confidence: float = 2.0) -> RegisteredFrame:
    local = replace(keyframe.local, frame=replace(keyframe.local.frame, index=index, source_index=index))
    return replace(keyframe, local=local, mean_confidence=confidence)


def buffering_set(networks: Networks, keyframe: RegisteredFrame, stride: int = 1, **settings: object) -> KeyframeBuffer:
    initial = [at(keyframe, i * stride) for i in range(3)]
    registrar = LocalToWorldStage(networks.l2w, normalise_input=False)
    defaults = {"buffer_size": 5, "strategy": "fifo", "interval": 1}
    return KeyframeBuffer(initial, stride, KeyframeSettings(**(defaults | settings)), registrar)  # type: ignore[arg-type]


def test_fifo_drops_the_oldest(tiny_networks: Networks, keyframe: RegisteredFrame) -> None:
    buffer = buffering_set(tiny_networks, keyframe)
    for index in range(3, 9):
        assert [entered.index for entered in buffer.propose([at(keyframe, index)], [True])] == [index]
    assert buffer.indices == (4, 5, 6, 7, 8)
    assert len(buffer.candidates) == len(buffer.candidates.layer.features) == len(buffer) == 5


def test_the_best_frame_of_a_interval_enters_if_it_is_far_enough(
    tiny_networks: Networks, keyframe: RegisteredFrame
) -> None:
    buffer = buffering_set(tiny_networks, keyframe, stride=4)
    interval = [at(keyframe, 9, 9.0), at(keyframe, 10, 9.0), at(keyframe, 11, 3.0), at(keyframe, 12, 2.5)]
    assert buffer.propose(interval[:2], [True, True]) == []
    # Frames 9 and 10 are surer, but less than 3/4 of a stride after frame 8.
    assert [entered.index for entered in buffer.propose(interval[2:], [True, True])] == [11]


def test_frames_that_cannot_be_used_never_enter(tiny_networks: Networks, keyframe: RegisteredFrame) -> None:
    buffer = buffering_set(tiny_networks, keyframe, stride=2)
    assert [k.index for k in buffer.propose([at(keyframe, 5), at(keyframe, 6, 9.0)], [True, False])] == [5]
    assert [k.index for k in buffer.propose([at(keyframe, 7), at(keyframe, 8, 9.0)], [True, False])] == [7]
    assert buffer.propose([at(keyframe, 9), at(keyframe, 10)], [False, False]) == []


def test_the_interval_delays_but_skips_nothing(tiny_networks: Networks, keyframe: RegisteredFrame) -> None:
    buffer = buffering_set(tiny_networks, keyframe, interval=3, buffer_size=-1)
    entered = [len(buffer.propose([at(keyframe, index)], [True])) for index in range(3, 12)]
    assert entered == [0, 0, 3, 0, 0, 3, 0, 0, 3]
    assert len(buffer) == 12


@pytest.mark.parametrize("seed", range(5))
def test_of_a_interval_that_is_not_over_only_what_may_be_its_best_is_kept(
    tiny_networks: Networks, keyframe: RegisteredFrame, seed: int
) -> None:
    """And what enters is the best all the same, whichever the first one is that is far enough."""
    stride, worths = 40, np.random.default_rng(seed).uniform(1.5, 9, 200).round(1)
    buffer = buffering_set(tiny_networks, keyframe, stride=stride, interval=5, buffer_size=-1)
    entered: list[RegisteredFrame] = []
    for index in range(2 * stride + 1, 7 * stride + 1):
        usable = index % 7 > 0
        entered += buffer.propose([at(keyframe, index, worths[index - 2 * stride - 1])], [usable])
        assert sum(len(interval) for interval in buffer._proposed.values()) < 5 * 12  # of 200
    last, expected = 2 * stride, []
    for begins in range(2 * stride + 1, 7 * stride + 1, stride):
        far = [i for i in range(max(begins, last + 3 * stride // 4), begins + stride) if i % 7 > 0]
        last = max(far, key=lambda index: float(worths[index - 2 * stride - 1]))
        expected.append(last)
    assert [each.index for each in entered] == expected


def test_a_buffer_is_never_smaller_than_the_initial_window(tiny_networks: Networks, keyframe: RegisteredFrame) -> None:
    buffers = [buffering_set(tiny_networks, keyframe, buffer_size=size, strategy="reservoir") for size in (1, 2, 3)]
    for index in range(3, 103):
        for buffer in buffers:
            buffer.propose([at(keyframe, index)], [True])
    assert len({buffer.indices for buffer in buffers}) == 1 and len(buffers[0]) == 3


def test_a_reservoir_keeps_old_and_new_and_never_grows(tiny_networks: Networks, keyframe: RegisteredFrame) -> None:
    sums = []
    for seed in range(8):
        buffer = buffering_set(tiny_networks, keyframe, strategy="reservoir", buffer_size=10, seed=seed)
        for index in range(3, 403):
            buffer.propose([at(keyframe, index)], [True])
            assert len(buffer) <= 10
        sums.append(sum(buffer.indices) / 10)
    # Kept with equal probability whatever their age: the mean index is about half of the last.
    assert 130 < sum(sums) / len(sums) < 270


def test_intervals_are_counted_in_the_cameras_images(tiny_networks: Networks, keyframe: RegisteredFrame) -> None:
    """Of a interval of four images the best frame enters, however many were left out; empty ones do not count."""
    buffer = buffering_set(tiny_networks, keyframe, stride=4, buffer_size=20)
    entered = []
    for source_index in (9, 11, 13, 15, 17, 40, 44):
        frame = replace(keyframe.local.frame, index=source_index * 10, source_index=source_index)
        offered = replace(keyframe, local=replace(keyframe.local, frame=frame))
        entered += [k.local.frame.source_index for k in buffer.propose([offered], [True])]
    assert entered == [11, 15, 40, 44]


@pytest.mark.parametrize("strategy", ["fifo", "reservoir"])
def test_a_smaller_buffer_keeps_of_each_keyframe_what_is_its_own(
    tiny_networks: Networks, keyframe: RegisteredFrame, strategy: str
) -> None:
    buffer = buffering_set(tiny_networks, keyframe, buffer_size=11, strategy=strategy)

    def numbered(index: int) -> RegisteredFrame:
        return replace(at(keyframe, index), points_world=torch.full((32, 32, 3), float(index)))

    for index in range(3, 20):
        buffer.propose([numbered(index)], [True])
    indices = buffer.indices
    assert buffer.shrink() == 5 == len(buffer) == len(buffer.candidates.layer.features)
    assert set(buffer.indices) < set(indices) and sorted(buffer.candidates.slots) == [0, 1, 2, 3, 4]
    if strategy == "fifo":
        assert buffer.indices == indices[-5:]
    for index in range(20, 60):
        buffer.propose([numbered(index)], [True])
    assert len(buffer) == 5 and max(buffer.indices) > 40
    for position, index in enumerate(buffer.indices):
        assert (buffer[position].points_world == float(index)).all() or index < 3
    assert [buffer.shrink(), buffer.shrink()] == [2, 0]


def world_points(seed: int) -> Tensor:
    """(32, 32, 3), the first of them invalid."""
    points = torch.randn(32, 32, 3, generator=torch.Generator().manual_seed(seed))
    points[0] = 0
    return points


def placed(keyframe: RegisteredFrame, index: int, confidence: float = 2.0) -> RegisteredFrame:
    """With points, tokens and a pose of its own."""
    frame = at(keyframe, index, confidence)
    tokens = torch.randn(frame.local.frame.tokens.shape, generator=torch.Generator().manual_seed(1000 + index))
    local = replace(frame.local, frame=replace(frame.local.frame, tokens=tokens))
    pose = PoseEstimate(rigid(np.eye(3), [index, 0, 0]), 30.0, 1.0, 0.1, 1.0, 0.0)
    return replace(frame, local=local, points_world=world_points(index), pose=pose)


def moved_with(keyframe: RegisteredFrame, correction: MapCorrection) -> RegisteredFrame:
    """As if it had been mapped in the corrected world."""
    points = keyframe.points_world.reshape(-1, 3)
    indices = np.full(len(points), keyframe.index)
    moved = torch.from_numpy(correction.of_points(indices, points.numpy())).reshape(keyframe.points_world.shape)
    moved[0] = 0
    return replace(keyframe, points_world=moved, pose=correction.of_pose(keyframe.index, keyframe.pose))


def correction() -> MapCorrection:
    turns = rotation_from_vector(np.array([[0, 0, 0], [0.3, -0.2, 1.0], [0, 2.0, 0]]))
    moved = Sim3(np.array([1.0, 1.5, 0.7]), turns, np.array([[0, 0, 0], [1.0, 2, 3], [-4.0, 0, 1]]))
    return MapCorrection(np.array([0, 9, 13]), moved)


@pytest.mark.parametrize("strategy", ["fifo", "reservoir"])
@torch.inference_mode()
def test_a_corrected_buffer_is_that_of_corrected_keyframes(
    tiny_networks: Networks, keyframe: RegisteredFrame, strategy: str
) -> None:
    registrar = LocalToWorldStage(tiny_networks.l2w, normalise_input=False)
    settings = KeyframeSettings(buffer_size=8, strategy=strategy, interval=2)
    frames = [placed(keyframe, index, 2.0 + index % 5) for index in range(21)]
    corrected = [moved_with(frame, correction()) for frame in frames]
    one, other = (
        KeyframeBuffer([given[index] for index in (0, 2, 4)], 2, settings, registrar) for given in (frames, corrected)
    )
    for first, last in ((5, 12), (13, 18)):  # of which the last few are pending
        for index in range(first, last + 1):
            one.propose([frames[index]], [True])
            other.propose([corrected[index]], [True])
    assert len(one) == 8 and len(one._proposed) > 0
    one.correct(correction())
    one.apply_corrections()

    def assert_same() -> None:
        assert one.indices == other.indices
        for position in range(len(one)):
            got, expected = one[position], other[position]
            torch.testing.assert_close(got.points_world, expected.points_world, atol=1e-5, rtol=1e-5)
            assert not got.points_world[0].any() and got.points_world[1:].any()
            assert torch.equal(got.local.frame.tokens, expected.local.frame.tokens)
            assert got.pose is not None and expected.pose is not None
            np.testing.assert_allclose(got.pose.T_world_camera, expected.pose.T_world_camera)
            assert got.pose.scale == expected.pose.scale
        positions = list(range(len(one)))
        got_scene, expected_scene = one.scene(positions), other.scene(positions)
        torch.testing.assert_close(got_scene.embedding, expected_scene.embedding, atol=1e-4, rtol=1e-4)
        for got_part, expected_part in zip(got_scene.layer.tensors, expected_scene.layer.tensors, strict=True):
            torch.testing.assert_close(got_part, expected_part, atol=1e-4, rtol=1e-4)
        assert torch.equal(one.candidates.layer.features, other.candidates.layer.features)

    assert_same()
    before = one.indices
    entered = [one.propose([frame], [True]) for frame in corrected[19:21]]
    assert any(entered) and one.indices != before  # one that was pending
    for frame in corrected[19:21]:
        other.propose([frame], [True])
    assert_same()


@pytest.mark.parametrize("room", range(7))
@torch.inference_mode()
def test_memory_that_runs_out_while_a_buffer_is_corrected_leaves_no_keyframe_half_moved_or_moved_twice(
    tiny_networks: Networks, keyframe: RegisteredFrame, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has room for so many keyframes, then for one more and so on, while it shrinks and another loop is closed."""
    registrar = LocalToWorldStage(tiny_networks.l2w, normalise_input=False)
    scene_input, rooms = registrar.scene_input, [room]

    def full(keyframes: list[RegisteredFrame]) -> SceneInput:
        if rooms[-1] == 0:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        rooms[-1] -= 1
        return scene_input(keyframes)

    settings = KeyframeSettings(buffer_size=8, strategy="fifo", interval=2)
    frames = [placed(keyframe, index) for index in range(18)]
    buffer = KeyframeBuffer(frames[5:11], 1, settings, registrar)
    buffer.propose(frames[11:16], [True] * 5)
    buffer.propose(frames[16:17], [True])
    assert buffer.indices == tuple(range(8, 16)) and len(buffer._proposed) == 1
    monkeypatch.setattr(registrar, "scene_input", full)
    buffer.correct(correction())
    with pytest.raises(torch.OutOfMemoryError):
        buffer.apply_corrections()
    buffer.correct(correction())
    for position, index in enumerate(buffer.indices):  # the first ones are moved once, the rest is not
        scene = scene_input([buffer[position]])
        torch.testing.assert_close(buffer.scene([position]).embedding, scene.embedding)
        torch.testing.assert_close(buffer.scene([position]).layer.features, scene.layer.features)
        expected = moved_with(frames[index], correction()) if position < room else frames[index]
        torch.testing.assert_close(buffer[position].points_world, expected.points_world)
    rooms.append(1)
    with pytest.raises(torch.OutOfMemoryError):
        buffer.apply_corrections()
    assert buffer.shrink() == 4
    rooms.append(100)
    buffer.apply_corrections()
    assert buffer.indices == (12, 13, 14, 15)
    for position, index in enumerate(buffer.indices):
        expected = moved_with(moved_with(frames[index], correction()), correction())
        torch.testing.assert_close(buffer[position].points_world, expected.points_world, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(buffer.scene([position]).embedding, scene_input([buffer[position]]).embedding)
    expected = moved_with(moved_with(frames[16], correction()), correction())
    buffer.propose([at(frames[17], 17, confidence=1.0)], [True])
    torch.testing.assert_close(buffer[2].points_world, expected.points_world, atol=1e-5, rtol=1e-5)


def test_what_entered_before_memory_ran_out_is_told_later(
    tiny_networks: Networks, keyframe: RegisteredFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    registrar = LocalToWorldStage(tiny_networks.l2w, normalise_input=False)
    buffer = KeyframeBuffer([placed(keyframe, 0)], 2, KeyframeSettings(buffer_size=8, interval=2), registrar)
    scene_input, calls = registrar.scene_input, iter(range(99))

    def full_once(keyframes: list[RegisteredFrame]) -> SceneInput:
        if next(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return scene_input(keyframes)

    monkeypatch.setattr(registrar, "scene_input", full_once)
    told: list[int] = []
    for index in range(1, 20):
        try:
            told += [entered.index for entered in buffer.propose([placed(keyframe, index)], [True])]
        except torch.OutOfMemoryError:
            told += [entered.index for entered in buffer.propose((), ())]
    assert next(calls) > 4
    assert [0, *told] == list(buffer.indices)

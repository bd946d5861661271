"""A device whose memory is full, made up: networks that raise as torch does when a call is too large."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from engine_events import only_map_updates
from synthetic import textured_image
from torch import Tensor

from slam3r_ros.device.memory_guard import MemoryGuard, is_out_of_memory
from slam3r_ros.engine.slam import Slam
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.networks.blocks import LayerActivations
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.networks.weights import Networks
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame, MapUpdate, State

SETTINGS = SlamSettings().with_values(
    {
        "window.stride": 2,
        "keyframes.buffer_size": 12,
        "keyframes.interval": 1,
        "register.scene_frames": 4,
        "register.retrieval_interval": 1,
        "pose.minimum_inliers": 0.0,
        "pose.tracks": "off",
        "initialize.minimum_motion": 0.0,
    }
)


class Full:
    """A network on a device that has room for so many views in a call of one method."""

    def __init__(self, network: Any, method: str, room: int) -> None:
        self._network, self._method, self.room, self.refused = network, method, room, 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._network, name)
        return self._guarded(method) if name == self._method else method

    def _guarded(self, method: Any) -> Any:
        def call(first: Tensor | LayerActivations, *others: Any, **options: Any) -> Any:
            sides = [t.features if isinstance(t, LayerActivations) else t for t in (first, *others)]
            views = sum(t.shape[0] * t.shape[1] if t.ndim == 4 and len(sides) > 1 else t.shape[0] for t in sides[:2])
            if views > self.room:
                self.refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return method(first, *others, **options)

        return call


@dataclass
class Pair:
    """Both networks."""

    i2p: Any
    l2w: Any
    recommended: SlamSettings
    name: str = "full"


def stream(slam: Slam, together: int, pushes: int, start: int = 0) -> Iterator[MapUpdate]:
    for first in range(start, start + together * pushes, together):
        frames = (Frame(number, textured_image(number)) for number in range(first, first + together))
        yield from only_map_updates(slam.push(*frames))


def test_encoding_and_i2p_go_on_with_fewer_frames_at_once(tiny_networks: Networks) -> None:
    expected = list(stream(Slam(tiny_networks, SETTINGS), 6, 8))
    for method, room, together in (("encode", 4, 3), ("decode", 19, 2)):
        full = Full(tiny_networks.i2p, method, room)
        slam = Slam(Pair(full, tiny_networks.l2w, tiny_networks.recommended), SETTINGS)
        updates = list(stream(slam, 6, 8))
        assert [update.index for update in updates] == [update.index for update in expected] == list(range(48))
        assert slam.status().lost_frames == 0
        warning = f"the device's memory is full: at most {together} frames go through a network at once from now on"
        assert slam.status().warnings[0] == warning
        assert full.refused == len(slam.status().warnings) <= 3
        if method == "encode":  # frames of one round are encoded apart: nothing else changes
            got, wanted = (each[10].pointmaps.points_camera for each in (updates, expected))
            np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4)


def test_then_the_buffer_shrinks_and_what_is_mapped_stays(tiny_networks: Networks) -> None:
    full = Full(tiny_networks.i2p, "correlation", 100)
    slam = Slam(Pair(full, tiny_networks.l2w, tiny_networks.recommended), SETTINGS)
    before = list(stream(slam, 1, 60))
    points, keyframes = slam.map_points(), slam.keyframes()
    assert slam.status().keyframes == 12
    full.room = 4  # of the query's view and the candidates'
    after = list(stream(slam, 1, 60, start=60))
    status = slam.status()
    assert [update.index for update in before + after] == list(range(120))
    assert status.lost_frames == 0 and status.registered == 120
    assert status.warnings == (
        "the device's memory is full: the keyframe buffer keeps 6 keyframes from now on",
        "the device's memory is full: the keyframe buffer keeps 3 keyframes from now on",
    )
    assert status.keyframes == 3
    assert len(slam.map_points()) >= len(points) and slam.keyframes()[: len(keyframes)] == keyframes
    assert slam.keyframes()[-1].index > 90  # the small buffer goes on changing


def test_a_frame_for_which_there_is_no_room_at_all_is_left_out(tiny_networks: Networks) -> None:
    full = Full(tiny_networks.l2w, "decode", 100)
    slam = Slam(Pair(tiny_networks.i2p, full, tiny_networks.recommended), SETTINGS)
    assert len(list(stream(slam, 1, 30))) == 30
    trajectory, points = [pose.stamp_ns for pose in slam.trajectory()], len(slam.map_points())
    full.room = 0
    assert list(stream(slam, 1, 3, start=30)) == []
    status = slam.status()
    assert status.state is State.LOST and status.lost_frames == 3
    assert status.reason == "the device's memory is full: a frame is left out"
    assert [pose.stamp_ns for pose in slam.trajectory()] == trajectory and len(slam.map_points()) == points
    full.room = 100
    assert [update.index for update in stream(slam, 1, 4, start=33)] == [33, 34, 35, 36]
    assert slam.status().state is State.TRACKING


def test_a_loop_is_closed_whole_though_there_is_no_room_for_it(
    tiny_networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames are left out, and keyframes, until there is; nothing is registered in a world that is half corrected."""
    full = Full(tiny_networks.l2w, "embed_points", 100)
    settings = SETTINGS.with_values({"pose.tracks": "on", "register.only_keyframes": False})
    slam = Slam(Pair(tiny_networks.i2p, full, tiny_networks.recommended), settings)
    list(stream(slam, 1, 60))
    trajectory, records, points = slam.trajectory(), slam.keyframes(), len(slam.map_points())
    loop_closer, buffer = slam._mapping._refinement._loop_closer, slam._mapping._buffer
    assert loop_closer is not None and buffer is not None
    before = {index: buffer[position].points_world.clone() for position, index in enumerate(buffer.indices)}
    moved = Sim3(np.array([2.0]), np.eye(3)[None], np.array([[1.0, 2, 3]]))
    correction = MapCorrection(np.array([0]), moved, np.array([[0, 59]]))
    corrections = iter([correction])
    monkeypatch.setattr(loop_closer, "collect", lambda: next(corrections, None))
    full.room = 0
    assert [event for n in (60, 61) for event in slam.push(Frame(n, textured_image(n)))] == [correction]
    assert slam.status().lost_frames == 2 and slam.status().loops_closed == 1
    frames = np.array([pose.stamp_ns for pose in trajectory])
    expected = correction.of_poses(frames, np.array([pose.T_world_camera for pose in trajectory]))
    np.testing.assert_allclose([pose.T_world_camera for pose in slam.trajectory()], expected)
    assert len(slam.map_points()) <= points and len(slam.keyframes()) == len(records)
    full.room = 100
    assert [update.index for update in stream(slam, 1, 1, start=62)] == [62]
    assert len(buffer) == 3
    for position, index in enumerate(buffer.indices):
        points_before = before[index].reshape(-1, 3).numpy()
        expected = correction.of_points(np.full(len(points_before), index), points_before)
        np.testing.assert_allclose(buffer[position].points_world.reshape(-1, 3), expected, atol=1e-5)


def test_images_that_cannot_even_be_encoded_are_left_out(tiny_networks: Networks) -> None:
    full = Full(tiny_networks.i2p, "encode", 100)
    slam = Slam(Pair(full, tiny_networks.l2w, tiny_networks.recommended), SETTINGS)
    list(stream(slam, 1, 20))
    full.room = 0
    assert list(stream(slam, 2, 2, start=20)) == []
    full.room = 100
    updates = list(stream(slam, 1, 4, start=24))
    assert [(update.index, update.header.stamp_ns) for update in updates] == [(20, 24), (21, 25), (22, 26), (23, 27)]


def test_setting_up_the_map_goes_on_with_fewer_windows_at_once(tiny_networks: Networks) -> None:
    full = Full(tiny_networks.i2p, "decode", 10)  # two windows of five
    slam = Slam(Pair(full, tiny_networks.l2w, tiny_networks.recommended), SETTINGS)
    expected = list(stream(Slam(tiny_networks, SETTINGS), 1, 9))
    updates = list(stream(slam, 1, 9))
    assert [update.index for update in updates] == [update.index for update in expected] == list(range(9))
    got, wanted = (each[0].pointmaps.points_world for each in (updates, expected))
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4)
    assert full.refused == 1


def test_when_it_is_tried_again_nothing_holds_the_tensors_of_before() -> None:
    kept: list[weakref.ref[Tensor]] = []

    def work() -> str:
        if kept:
            assert kept[-1]() is None
            return "done"
        large = torch.zeros(10)
        kept.append(weakref.ref(large))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    assert MemoryGuard().run(work, 2, lambda: 0) == "done"


def test_other_errors_are_not_taken_for_it() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))

    def work() -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        MemoryGuard().run(work, 4, lambda: 1)


def test_the_pair_stands_for_networks(tiny_networks: Networks) -> None:
    pair: NetworkPair = Pair(Full(tiny_networks.i2p, "encode", 9), tiny_networks.l2w, tiny_networks.recommended)
    assert pair.i2p.config is tiny_networks.i2p.config


def test_what_else_goes_wrong_is_told_once_among_the_notices() -> None:
    guard = MemoryGuard()
    for text in ("", "one", "one", "other", ""):
        guard.add_warning(text)
    assert guard.warnings == ("one", "other")


def test_a_search_for_a_loop_that_failed_is_told_in_the_status(
    tiny_networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"window.stride": 1, "pose.tracks": "on", "pose.minimum_inliers": 0.0, "initialize.minimum_motion": 0.0}
    slam = Slam(tiny_networks, SlamSettings().with_values(settings))
    loop_closer = slam._mapping._refinement._loop_closer
    assert loop_closer is not None
    monkeypatch.setattr(loop_closer, "failure", "it failed")
    for number in range(8):
        slam.push(Frame(number, textured_image(number)))
    assert slam.status().warnings == ("it failed",)

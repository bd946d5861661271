"""The second stream on a CPU: stand-ins for torch's streams write down what a GPU would be told."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from synthetic import textured_image

from slam3r_ros.device.cuda_stream import SideStream
from slam3r_ros.engine.encoder import Encoder
from slam3r_ros.engine.slam import Slam
from slam3r_ros.networks.weights import Networks
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import EncodedAhead, Frame

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
CUDA = torch.device("cuda")


class MadeUpStream:
    def __init__(self, name: str, told: list[str]) -> None:
        self.name, self.told, self.device = name, told, CUDA

    def wait_stream(self, other: MadeUpStream) -> None:
        self.told.append(f"{self.name} waits for {other.name}")

    def record_event(self) -> str:
        self.told.append(f"{self.name} marks")
        return f"mark of {self.name}"

    def wait_event(self, event: str) -> None:
        self.told.append(f"{self.name} waits for {event}")


class MadeUpTensor:
    def __init__(self, told: list[str]) -> None:
        self.told = told

    def record_stream(self, stream: MadeUpStream) -> None:
        self.told.append(f"{stream.name} uses a tensor")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What two made-up streams are told, one of which every thread uses unless it says otherwise."""
    told: list[str] = []
    main = MadeUpStream("main", told)

    @contextlib.contextmanager
    def on(stream: MadeUpStream) -> Iterator[None]:
        told.append(f"on {stream.name}")
        yield
        told.append(f"off {stream.name}")

    monkeypatch.setattr(torch.cuda, "Stream", lambda _: MadeUpStream("second", told))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: main)
    monkeypatch.setattr(torch.cuda, "stream", on)
    return told


def test_a_result_is_waited_for_by_the_stream_that_uses_it(told: list[str]) -> None:
    side_stream = SideStream(CUDA)
    with side_stream.work():
        told.append("work")
        mark = side_stream.record_event()
    side_stream.wait_event(mark, [MadeUpTensor(told), MadeUpTensor(told)])
    assert told == [
        "second waits for main",
        "on second", "work", "second marks", "off second",
        "main waits for mark of second", "main uses a tensor", "main uses a tensor",
    ]  # fmt: skip


def test_on_a_cpu_there_is_nothing_to_wait_for(told: list[str]) -> None:
    side_stream = SideStream(torch.device("cpu"))
    with side_stream.work():
        mark = side_stream.record_event()
    side_stream.wait_event(mark, [torch.ones(2)])
    assert mark is None and told == []


def test_each_frame_is_encoded_on_the_side_stream_and_waited_for_once(tiny_networks: Networks, told: list[str]) -> None:
    """Two that came encoded and, apart from these, two that did not."""
    encoder = Encoder(tiny_networks.i2p)
    encoder._side_stream = SideStream(CUDA)
    taken: list[object] = []
    encoder._side_stream.wait_event = lambda mark, tensors: taken.append((len(list(tensors)), mark))  # type: ignore[method-assign]
    frames = [Frame(number, textured_image(number)) for number in range(4)]
    told.clear()
    ahead = [encoder.encode_ahead(encoder.prepare(frame)) for frame in frames[:2]]
    assert told == ["on second", "second marks", "off second"] * 2 and taken == []
    encoder.encode(ahead)
    encoder.encode(frames[2:])
    assert told == ["on second", "second marks", "off second"] * 3
    assert taken == [(9, "mark of second")] * 4


def test_without_memory_a_frame_is_left_to_the_engine(tiny_networks: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder(tiny_networks.i2p)
    prepared = encoder.prepare(Frame(0, textured_image(0)))
    failure: list[Exception] = [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("another error")]

    def fail(*_: object) -> None:
        raise failure.pop(0)

    with monkeypatch.context() as patch:
        patch.setattr(encoder, "_crops", fail)
        assert encoder.encode_ahead(prepared) is prepared
        with pytest.raises(RuntimeError, match="another error"):
            encoder.encode_ahead(prepared)
    assert isinstance(encoder.encode_ahead(prepared), EncodedAhead)


@needs_cuda
def test_encoded_ahead_on_a_gpu_the_map_is_the_same(tiny_networks: Networks) -> None:
    i2p, l2w = (copy.deepcopy(network).to("cuda") for network in (tiny_networks.i2p, tiny_networks.l2w))
    networks = Networks(i2p, l2w, "cuda", tiny_networks.recommended)
    settings = SlamSettings().with_values(
        {"window.stride": 1, "pose.minimum_inliers": 0.0, "initialize.minimum_motion": 0.0}
    )
    maps = []
    for ahead in (False, True):
        slam = Slam(networks, settings)
        frames = [Frame(number, textured_image(number)) for number in range(24)]
        given = [slam.encoder.encode_ahead(slam.encoder.prepare(f)) for f in frames] if ahead else frames
        for frame in given:
            slam.push(frame)
        maps.append(slam.map_points().points_world)
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-5)

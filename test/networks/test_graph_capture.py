import pytest
import torch
from engine_events import only_map_updates
from network_answers import answers
from synthetic import textured_image
from torch import Tensor

from slam3r_ros.engine.slam import Slam
from slam3r_ros.networks.graph_capture import CALLS_BEFORE_RECORDING, MOST_RECORDINGS, Replay, replayed
from slam3r_ros.networks.weights import Networks
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame


@torch.inference_mode()
def test_replayed_networks_answer_as_the_networks_do(golden_networks: Networks) -> None:
    recorded = replayed(golden_networks)
    for call in range(CALLS_BEFORE_RECORDING + 3):
        for sources in (2, 3):  # shapes take turns, so that a recording for other shapes would show
            for got, expected in zip(
                answers(recorded, call, sources), answers(golden_networks, call, sources), strict=True
            ):
                torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_the_engine_s_result_is_the_same(golden_networks: Networks) -> None:
    settings = SlamSettings().with_values({"window.stride": 1, "initialize.minimum_confidence": 0.0})
    results = []
    for networks in (golden_networks, replayed(golden_networks)):
        slam = Slam(networks, settings)
        events = [event for n in range(20) for event in slam.push(Frame(n, textured_image(n)))]
        results.append(only_map_updates(events))
    for plain, recorded in zip(*results, strict=True):
        assert plain.index == recorded.index
        got, expected = (torch.from_numpy(each.pointmaps.points_world) for each in (recorded, plain))
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


def test_a_shape_is_recorded_when_it_comes_again_and_again() -> None:
    calls = []

    def double(x: Tensor) -> tuple[Tensor]:
        calls.append(tuple(x.shape))
        return (2 * x,)

    replay = Replay(double)
    for number in range(CALLS_BEFORE_RECORDING + 4):
        assert torch.equal(replay(torch.full((3,), float(number)))[0], torch.full((3,), 2.0 * number))
    assert calls == [(3,)] * (CALLS_BEFORE_RECORDING + 1)


@pytest.mark.parametrize("size", [1, MOST_RECORDINGS + 1])
def test_only_so_many_shapes_are_recorded(size: int) -> None:
    calls = []

    def double(x: Tensor) -> tuple[Tensor]:
        calls.append(x.shape)
        return (2 * x,)

    replay = Replay(double)
    for _ in range(CALLS_BEFORE_RECORDING + 2):
        for length in range(1, size + 1):
            replay(torch.ones(length))
    assert len(calls) == (CALLS_BEFORE_RECORDING + 1) * size + (size > MOST_RECORDINGS)

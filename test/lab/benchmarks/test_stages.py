import numpy as np
import pytest
import torch

from slam3r_lab.benchmarks.machine import Ceilings, measure_ceilings
from slam3r_lab.benchmarks.operations import Work, Workload
from slam3r_lab.benchmarks.stages import TimeBox, measure_stages
from slam3r_ros.networks.weights import Networks

LOAD = Workload(radius=2, past_only=True, scene_frames=3, together=2, buffer_size=5, shortlist=4)


def test_every_stage_is_measured_by_the_frame(tiny_networks: Networks) -> None:
    box = TimeBox(measure_ceilings(torch.device("cpu")), seconds=0.2, most_calls=2)
    costs = measure_stages(tiny_networks, LOAD, box)
    names = ["preprocess", "pose", "map", "encode", "i2p", "retrieval", "l2w"]
    assert [cost.stage.split(",")[0] for cost in costs] == names
    assert [cost.frames_per_call for cost in costs] == [1, 1, 1, 1, 2, 2, 2]
    assert all(cost.per_call_ms > cost.floor_ms > 0 and cost.added_memory_mib >= 0 for cost in costs)
    assert costs[-1].per_frame_ms == costs[-1].per_call_ms / 2


def test_a_time_box_makes_large_calls_smaller_and_repeats_small_ones() -> None:
    box = TimeBox(Ceilings(operations_per_second=1e9, bytes_per_second=1e12), seconds=2.0, most_calls=30)

    def one_second(frames: int) -> Work:
        return Work(1e9 * frames)

    assert box.fit(one_second, 10) == 2
    assert box.fit(one_second, 1) == 1
    assert box.fit(lambda frames: Work(1e12 * frames), 10) == 1
    assert [box.calls(ms) for ms in (10_000.0, 900.0, 100.0, 0.0)] == [1, 2, 20, 30]


@pytest.mark.parametrize(("work", "floor_ms"), [(Work(2e9, 1e9), 2000.0), (Work(1e9, 6e9), 3000.0)])
def test_the_floor_is_whichever_ceiling_is_hit_first(work: Work, floor_ms: float) -> None:
    assert np.isclose(Ceilings(1e9, 2e9).floor_ms(work), floor_ms)

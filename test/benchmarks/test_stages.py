from benchmarks.stages import Workload, measure_stages
from slam3r_ros.networks.weights import Networks


def test_every_stage_is_measured_by_the_frame(tiny_networks: Networks) -> None:
    work = Workload(radius=2, past_only=True, scene_frames=3, together=2, buffer_size=4)
    costs = measure_stages(tiny_networks, work, repetitions=2)
    assert [cost.stage.split(",")[0] for cost in costs] == ["encode", "i2p", "retrieval", "l2w"]
    assert [cost.frames_per_call for cost in costs] == [1, 2, 2, 2]
    assert all(cost.per_call_ms > 0 and cost.added_memory_mib >= 0 for cost in costs)
    assert costs[3].per_frame_ms == costs[3].per_call_ms / 2

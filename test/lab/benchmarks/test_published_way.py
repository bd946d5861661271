import pytest
import torch

from slam3r_lab.benchmarks.engine_way import EngineWay
from slam3r_lab.benchmarks.operations import Workload
from slam3r_lab.benchmarks.published_way import PublishedWay
from slam3r_lab.benchmarks.scene import make_scene
from slam3r_ros.networks.weights import Networks


@pytest.mark.parametrize("encode_once", [True, False])
@pytest.mark.parametrize("together", [1, 3])
def test_the_published_way_and_the_engine_agree(golden_networks: Networks, encode_once: bool, together: int) -> None:
    load = Workload(radius=2, past_only=False, scene_frames=3, together=together, buffer_size=7)
    scene = make_scene(golden_networks.i2p, load)
    expected = PublishedWay(golden_networks, 1.5, load.scene_frames, encode_once=encode_once).round(scene)
    got = EngineWay(golden_networks, 1.5, load, scene).round(scene)
    assert got.chosen == expected.chosen
    for name in ("points_normalised", "points_world", "confidence"):
        wanted = getattr(expected, name)
        assert torch.linalg.norm(getattr(got, name) - wanted) <= 1e-4 * torch.linalg.norm(wanted), name
        assert wanted.std() > 0

"""The operations counted on paper are those that torch counts while the programs run."""

from dataclasses import replace

import pytest
from torch.utils.flop_counter import FlopCounterMode

from slam3r_lab.benchmarks.engine_way import EngineWay
from slam3r_lab.benchmarks.operations import EVERY_SAVING, LADDER, ONE_BY_ONE, PUBLISHED, Count, Savings, Workload
from slam3r_lab.benchmarks.published_way import PublishedWay
from slam3r_lab.benchmarks.scene import make_scene
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.weights import Networks

LOAD = Workload(radius=2, past_only=False, scene_frames=3, together=4, buffer_size=7)


@pytest.fixture
def plain_networks(golden_networks: Networks) -> Networks:
    for network in (golden_networks.i2p, golden_networks.l2w):
        network.use_attention("plain")  # torch counts no fused attention on a CPU
    return golden_networks


@pytest.mark.parametrize("savings", [Savings(), Savings(encode_once=True)])
def test_the_published_way_costs_what_is_counted(plain_networks: Networks, savings: Savings) -> None:
    scene = make_scene(plain_networks.i2p, LOAD)
    published = PublishedWay(plain_networks, 0.0, LOAD.scene_frames, encode_once=savings.encode_once)
    with FlopCounterMode(display=False) as counter:
        published.round(scene)
    counted = Count(plain_networks.i2p.config, savings).frame(LOAD).operations * LOAD.together
    assert counter.get_total_flops() == pytest.approx(counted, rel=0.01)


def test_the_engine_costs_what_is_counted(plain_networks: Networks) -> None:
    scene = make_scene(plain_networks.i2p, LOAD)
    engine = EngineWay(plain_networks, 0.0, LOAD, scene)
    engine.round(scene)
    with FlopCounterMode(display=False) as counter:
        engine.round(scene)
    count = Count(plain_networks.i2p.config, replace(EVERY_SAVING, shortlist=False))
    counted = count.frame(LOAD).operations * LOAD.together
    assert counter.get_total_flops() == pytest.approx(counted, rel=0.05)


@pytest.mark.parametrize(("load", "factor"), [(PUBLISHED, 2.5), (ONE_BY_ONE, 2.0)])
def test_every_saving_of_the_ladder_saves(load: Workload, factor: float) -> None:
    counts = [Count(NetworkConfig(), savings).frame(load).operations for _, savings in LADDER[:-1]]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] / counts[-1] > factor


def test_a_shortlist_bounds_the_retrieval() -> None:
    count = Count(NetworkConfig())
    costs = [count.frame(replace(PUBLISHED, buffer_size=size, shortlist=20)).operations for size in (20, 100, 1000)]
    assert costs[0] == costs[1] == costs[2]

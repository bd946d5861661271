import copy

import torch
from synthetic import textured_image

from slam3r_lab.benchmarks.cpu_ways import WAYS, measure_ways, quantised, ways_table
from slam3r_ros.networks.weights import load_networks


def test_every_way_but_the_compiled_maps_the_same_video() -> None:
    images = [textured_image(number) for number in range(14)]
    ways = {name: way for name, way in WAYS.items() if name != "torch.compile"}  # needs a compiler and many seconds
    costs = measure_ways(images, ways)
    assert [cost.drift.precision for cost in costs] == list(ways)
    eager, replayed, bfloat16, int8 = (cost.drift for cost in costs)
    assert eager.local_error == 0.0 and replayed.local_error < 1e-5
    assert 1e-5 < bfloat16.local_error < 0.1 and 1e-5 < int8.local_error < 0.5
    table = ways_table(costs, len(images))
    assert table[4].startswith("| eager |") and "| 1.00 |" in table[4]


def test_quantised_blocks_answer_nearly_as_before() -> None:
    network = load_networks("embedded", device="cpu").i2p
    images = torch.rand((1, 3, 112, 112), generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        expected = network.encode(images)
        network.encoder_blocks = quantised(copy.deepcopy(network.encoder_blocks))
        got = network.encode(images)
    error = float((got - expected).norm() / expected.norm())
    assert 0 < error < 0.1

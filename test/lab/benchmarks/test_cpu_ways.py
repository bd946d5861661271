from synthetic import textured_image

from slam3r_lab.benchmarks.cpu_ways import WAYS, measure_ways, ways_table


def test_every_way_but_the_compiled_maps_the_same_video() -> None:
    images = [textured_image(number) for number in range(14)]
    ways = {name: way for name, way in WAYS.items() if name != "torch.compile"}  # needs a compiler and many seconds
    costs = measure_ways(images, ways)
    assert [cost.drift.precision for cost in costs] == list(ways)
    eager, bfloat16 = (cost.drift for cost in costs)
    assert eager.local_error == 0.0
    assert 1e-5 < bfloat16.local_error < 0.1
    table = ways_table(costs, len(images))
    assert table[4].startswith("| eager (the node's) |") and "| 1.00 |" in table[4]

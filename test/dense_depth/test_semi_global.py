import numpy as np

from slam3r_ros.dense_depth.semi_global import aggregated, semi_global_planes
from slam3r_ros.dense_depth.tuning import TUNING


def slow_paths(costs: np.ndarray, grey: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Hirschmueller's recursion for one direction, pixel by pixel."""
    height, width, planes = costs.shape
    total = np.zeros(costs.shape, np.int64)
    for y in range(height)[:: 1 if rows >= 0 else -1]:
        for x in range(width)[:: 1 if columns >= 0 else -1]:
            v, u = y - rows, x - columns
            total[y, x] = costs[y, x]
            if not (0 <= v < height and 0 <= u < width):
                continue
            change = np.float32(abs(float(grey[y, x]) - float(grey[v, u]))) / np.float32(TUNING.edge_grey)
            large = max(int(TUNING.large_step_penalty / (np.float32(1) + change)), TUNING.small_step_penalty + 1)
            before = total[v, u]
            for plane in range(planes):
                near = [before[k] + TUNING.small_step_penalty for k in (plane - 1, plane + 1) if 0 <= k < planes]
                total[y, x, plane] += min([before[plane], before.min() + large, *near]) - before.min()
    return total


def test_paths_are_those_of_the_recursion() -> None:
    random = np.random.default_rng(0)
    costs = random.integers(0, TUNING.max_cost, (7, 9, 6)).astype(np.uint8)
    grey = random.integers(0, 255, (7, 9)).astype(np.uint8)
    expected = sum(slow_paths(costs, grey, *way) for way in ((0, 1), (0, -1), (1, 0), (-1, 0)))
    np.testing.assert_array_equal(aggregated(costs, grey), expected)


def test_plane_between_planes_and_ambiguity() -> None:
    planes, grey = np.arange(20), np.full((12, 16), 100, np.uint8)
    sharp = np.minimum(8 * np.abs(planes - 7.3), 40)
    flat = np.minimum(2 * np.abs(planes - 7.3), 40)
    found, vague = (
        semi_global_planes(np.broadcast_to(cost, (12, 16, 20)).astype(np.uint8), grey) for cost in (sharp, flat)
    )
    assert np.abs(found.plane - 7.3).max() < 0.2 and found.correction.max() < 0.05
    assert (found.ambiguity < vague.ambiguity).all()

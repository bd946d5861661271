"""Depth edges stay sharp, and islands go."""

import numpy as np

from slam3r_ros.dense_depth.edges import without_flying_pixels
from slam3r_ros.dense_depth.posed_view import DepthMap

SHAPE = (120, 160)


def told(depth: np.ndarray) -> DepthMap:
    return DepthMap(depth.astype(np.float32), np.where(np.isfinite(depth), 0.01, np.inf).astype(np.float32))


def test_pixels_between_foreground_and_background_go_and_both_sides_stay() -> None:
    depth = np.full(SHAPE, 3.0)
    depth[:, :60] = 1.0
    depth[:, 60:63] = [1.5, 2.0, 2.5]  # a window saw both
    kept = without_flying_pixels(told(depth)).is_known
    assert not kept[:, 59:64].any()
    assert kept[:, :59].all() and kept[:, 64:].all()


def test_a_slanted_surface_stays() -> None:
    rows = np.arange(1, SHAPE[0] + 1)[:, None]
    depth = np.broadcast_to(300 / (rows + 30.0), SHAPE)  # a floor: inverse depth is linear in the rows
    assert without_flying_pixels(told(depth)).is_known.all()


def test_islands_go_and_what_is_kept_keeps_its_depth() -> None:
    depth = np.full(SHAPE, np.nan)
    depth[10:13, 10:13], depth[40:80, 40:80] = 2.0, 3.0
    found = without_flying_pixels(told(depth))
    assert not found.is_known[:20, :20].any() and np.isinf(found.sigma[:20, :20]).all()
    assert found.is_known[40:80, 40:80].all() and (found.depth[40:80, 40:80] == 3).all()


def test_nothing_known_stays_nothing_known() -> None:
    assert not without_flying_pixels(told(np.full(SHAPE, np.nan))).is_known.any()

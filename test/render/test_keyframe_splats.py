"""Splats from the depths of keyframes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from slanted_wall import CAMERA, DEPTH_SIZE, colours_at, keyframe

from slam3r_ros.render.keyframe_splats import keyframe_splats, without_flying_pixels


def test_splats_lie_on_the_surface_have_its_colours_and_are_as_wide_as_pixels() -> None:
    views = [keyframe(0), keyframe(2)]
    cloud, begins = keyframe_splats(views, most_points=10**6)
    pixels = DEPTH_SIZE[0] * DEPTH_SIZE[1] - 1  # one depth is not known
    assert begins.tolist() == [0, pixels, 2 * pixels] and len(cloud) == 2 * pixels
    x, _, z = cloud.points.T
    np.testing.assert_allclose(z, 2 + 0.3 * x, atol=1e-4)
    assert np.median(np.abs(cloud.colours - colours_at(cloud.points))) < 3
    towards_camera = cloud.normals @ [0.3, 0, -1] / np.hypot(0.3, 1)
    assert (np.abs(towards_camera - 1) < 1e-3).sum() >= 2 * (pixels - 4), "all but those beside the unknown depth"
    distance = views[1].depth[np.isfinite(views[1].depth)]
    np.testing.assert_allclose(cloud.spacing[pixels:], distance / (CAMERA.fx / 2), rtol=1e-6)


def test_many_points_are_thinned_evenly_and_drawn_wider() -> None:
    views = [keyframe(n) for n in range(4)]
    everything, _ = keyframe_splats(views, most_points=10**6)
    cloud, begins = keyframe_splats(views, most_points=2200)
    assert len(cloud) == 4 * 20 * 27 and np.diff(begins).tolist() == [540] * 4  # every third pixel of each third row
    assert cloud.spacing.mean() == pytest.approx(3 * everything.spacing.mean(), rel=0.02)
    np.testing.assert_allclose(np.ptp(cloud.points, axis=0), np.ptp(everything.points, axis=0), rtol=0.1)


def test_points_of_little_confidence_are_left_out() -> None:
    view = keyframe(1)
    view.confidence[:30] = 1.0
    cloud, _ = keyframe_splats([view], most_points=10**6, least_confidence=2.0)
    assert len(cloud) == 30 * 80
    assert len(keyframe_splats([], most_points=10)[0]) == 0


def test_pixels_at_the_edges_of_surfaces_are_left_out_and_steep_surfaces_are_kept() -> None:
    rows = np.arange(60, dtype=np.float32)
    floor = np.tile((40 / (rows + 2))[:, None], (1, 80))  # a floor, seen ever more steeply towards the top
    np.testing.assert_array_equal(without_flying_pixels(floor), floor)
    depth = floor.copy()
    depth[20:40, 30:50] = 0.5  # a box before it
    kept = np.isfinite(without_flying_pixels(depth))
    assert not kept[20:40, [29, 30, 49, 50]].any() and not kept[[19, 20, 39, 40], 31:49].any()
    assert kept[22:38, 32:48].all() and kept[:, :28].all() and kept[:, 52:].all()


def test_unknown_depths_do_not_spread() -> None:
    view = replace(keyframe(0), depth=keyframe(0).depth.copy())
    view.depth[::2, ::2] = np.nan
    assert np.isfinite(without_flying_pixels(view.depth)).sum() == np.isfinite(view.depth).sum()

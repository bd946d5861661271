"""Images, depths, confidences and points as bytes: how exact they come back, and how small they are."""

from __future__ import annotations

import numpy as np
import pytest
from map_file_events import CAMERA, header_of, pose_of, view_of
from numpy.typing import NDArray

from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.map_file import codecs
from slam3r_ros.map_file.codecs import TUNING, CodecError
from slam3r_ros.types import ImageHeader, MapPoints


def noise(height: int, width: int, *channels: int) -> NDArray[np.float64]:
    return np.random.default_rng(3).normal(size=(height, width, *channels))


def test_an_image_comes_back_in_its_colours() -> None:
    image = view_of(4, (120, 160)).image
    image[:40, :40] = [200, 30, 60]
    decoded = codecs.decode_image(codecs.encode_image(image))
    assert decoded.dtype == np.uint8 and decoded.shape == image.shape
    assert np.abs(decoded[4:36, 4:36].astype(int) - [200, 30, 60]).max() <= 6
    assert np.abs(decoded.astype(int) - image).mean() < 5


def test_an_image_full_of_detail_stays_small() -> None:
    image = np.clip(127 + 60 * noise(480, 640, 3), 0, 255).astype(np.uint8)
    data = codecs.encode_image(image)
    assert len(codecs._encoded(".jpg", image, [1, 90])) > 4 * len(data) / 2
    assert codecs.decode_image(data).shape == (480, 640, 3)


@pytest.mark.parametrize("far", [1.001, 3.0, 1e4])
def test_depths_come_back_within_half_a_step(far: float) -> None:
    depth = np.geomspace(0.3, 0.3 * far, 48 * 64).astype(np.float32).reshape(48, 64)
    depth[3, 5], depth[4, 6], depth[0, 0] = np.nan, np.inf, -1.0
    data, scale, step = codecs.encode_depth(depth)
    decoded = codecs.decode_depth(data, scale, step)
    known = np.isfinite(depth) & (depth > 0)
    np.testing.assert_array_equal(np.isfinite(decoded), known)
    assert step == TUNING.depth_steps[0] and scale == pytest.approx(depth[known].min())
    np.testing.assert_allclose(decoded[known], depth[known], rtol=0.51 * step)


def test_noisy_depths_take_a_coarser_step_and_few_bytes() -> None:
    depth = (2 * np.exp(0.02 * noise(240, 320))).astype(np.float32)
    data, scale, step = codecs.encode_depth(depth)
    assert step > TUNING.depth_steps[0]
    assert len(data) <= TUNING.depth_bytes or step == TUNING.depth_steps[-1]
    np.testing.assert_allclose(codecs.decode_depth(data, scale, step), depth, rtol=0.51 * step)


def test_depths_of_which_none_is_known_come_back() -> None:
    data, scale, step = codecs.encode_depth(np.full((4, 6), np.nan, np.float32))
    assert np.isnan(codecs.decode_depth(data, scale, step)).all() and scale == 1.0


def test_confidences_come_back_within_their_step() -> None:
    confidence = np.concatenate([[0.0], np.geomspace(0.01, 3e5, 99)]).astype(np.float32).reshape(10, 10)
    decoded = codecs.decode_confidence(codecs.encode_confidence(confidence))
    np.testing.assert_allclose(1 + decoded, 1 + confidence, rtol=0.0514)
    assert codecs.decode_confidence(codecs.encode_confidence(np.array([[np.nan]], np.float32))).tolist() == [[0.0]]


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_points_come_back_in_their_order(count: int) -> None:
    random = np.random.default_rng(count)
    positions = random.uniform(-5, 5, (count, 3)).astype(np.float32)
    colours = random.integers(0, 256, (count, 3), dtype=np.uint8)
    points = MapPoints(positions, colours, random.uniform(0, 50, count).astype(np.float32))
    decoded = codecs.decode_points(codecs.encode_points(points), count)
    np.testing.assert_allclose(decoded.points_world, positions, atol=0.51 * 10 / TUNING.points_grid)
    np.testing.assert_array_equal(decoded.colours, colours)
    np.testing.assert_allclose(1 + decoded.confidence, 1 + points.confidence, rtol=0.0514)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (48, 64)])
def test_pixels_come_back(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).random(shape) < 0.3
    data = codecs.encode_pixels(pixels)
    np.testing.assert_array_equal(codecs.decode_pixels(data, shape), pixels)
    for wrong in ((shape[0] + 8, shape[1]), (9 * shape[0], shape[1])):
        with pytest.raises(codecs.CodecError, match="expected the bits of"):
            codecs.decode_pixels(data, wrong)
    with pytest.raises(codecs.CodecError, match="cannot be read"):
        codecs.decode_pixels(b"nothing", shape)


def test_points_of_a_smooth_surface_take_few_bytes() -> None:
    points = view_of(0, (112, 112)).points()
    assert len(codecs.encode_points(points)) < 9 * len(points)


def test_poses_and_similarities_come_back_exactly() -> None:
    T = pose_of(7).T_world_camera
    np.testing.assert_array_equal(codecs.decode_pose(codecs.encode_pose(T)), T)
    similarity = Sim3(1.7, T[:3, :3], T[:3, 3])
    decoded = codecs.decode_similarities([codecs.encode_similarity(similarity)])[0]
    np.testing.assert_array_equal(decoded.apply(np.eye(3)), similarity.apply(np.eye(3)))


@pytest.mark.parametrize("header", [header_of(3), ImageHeader(5, (2, 3))])
def test_headers_come_back(header: ImageHeader) -> None:
    assert codecs.decode_header(codecs.encode_header(header), header.stamp_ns) == header
    assert codecs.decode_camera(codecs.encode_camera(CAMERA)) == CAMERA


def test_other_bytes_are_refused() -> None:
    depth, _, _ = codecs.encode_depth(np.ones((4, 4), np.float32))
    confidence = codecs.encode_confidence(np.ones((4, 4), np.float32))
    for decode in (
        lambda: codecs.decode_image(b"no image"),
        lambda: codecs.decode_image(b""),
        lambda: codecs.decode_depth(confidence, 1.0, 0.1),
        lambda: codecs.decode_confidence(depth),
        lambda: codecs.decode_points(codecs.encode_points(view_of(0).points()), 7),
        lambda: codecs.decode_pose(b"short"),
        lambda: codecs.decode_similarities([b"short"]),
        lambda: codecs.decode_camera('{"width": 3}'),
        lambda: codecs.decode_header("[]", 0),
    ):
        with pytest.raises(CodecError):
            decode()

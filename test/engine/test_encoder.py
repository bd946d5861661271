import copy

import cv2
import numpy as np
import pytest
import torch
from synthetic import textured_image

from slam3r_ros.engine.encoder import Encoder, resize_and_crop
from slam3r_ros.geometry.camera import Camera, CameraError
from slam3r_ros.geometry.crop import crop_camera
from slam3r_ros.networks.weights import Networks
from slam3r_ros.types import EncodedAhead, EncodedFrame, Frame, ImageHeader, InputError

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
VGA = Camera(640, 480, fx=500.0, fy=510.0, cx=321.0, cy=238.0)


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (5, 4), (2, 2), (4320, 7680), (33, 500)])
def test_any_image_gives_a_crop_of_the_networks_size(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 77, dtype=np.uint8)
    crop = resize_and_crop(image, (112, 112))
    assert crop.shape == (112, 112, 3)
    assert (crop == 77).all()


def test_the_crops_camera_sees_the_same_ray_at_the_same_place() -> None:
    """A dot drawn where the camera projects a point is found where the crop's camera projects it."""
    point = np.array([0.1, -0.05, 1.0])
    u, v = (VGA.matrix @ point)[:2]
    image = np.zeros((480, 640, 3), dtype=np.float32)
    y, x = np.mgrid[:480, :640]
    image[:] = np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 6.0**2))[..., None] * 255
    crop = resize_and_crop(image.astype(np.uint8), (112, 112))[..., 0].astype(float)
    rows, columns = np.mgrid[:112, :112]
    found = np.array([(crop * columns).sum(), (crop * rows).sum()]) / crop.sum()
    np.testing.assert_allclose(found, (crop_camera(VGA, (112, 112)).matrix @ point)[:2], atol=0.05)


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [
        ("plumb_bob", (-0.3, 0.1, 0.001, 0.001, 0.0)),
        ("rational_polynomial", (-0.3, 0.1, 0.0, 0.0, 0.0, 0.05, 0.0, 0.0)),
        ("equidistant", (0.05, 0.01, 0.0, 0.0)),
    ],
)
def test_a_distorted_image_is_undistorted_first(
    tiny_networks: Networks, model: str, coefficients: tuple[float, ...]
) -> None:
    camera = Camera(640, 480, 500.0, 500.0, 319.5, 239.5, model, coefficients)
    point, k, d = np.array([[[0.35, 0.2, 1.0]]]), camera.matrix, np.array(coefficients)
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    u, v = project(point, np.zeros(3), np.zeros(3), k, d)[0].reshape(2)
    image = np.zeros((480, 640, 3), dtype=np.uint8)
    cv2.circle(image, (round(u), round(v)), 12, (255, 255, 255), -1)
    encoded = Encoder(tiny_networks.i2p).encode([Frame(0, image, camera)])[0]
    assert encoded.camera is not None and not encoded.camera.is_distorted
    bright = encoded.image[..., 0].astype(float)
    rows, columns = np.mgrid[:32, :32]
    found = np.array([(bright * columns).sum(), (bright * rows).sum()]) / bright.sum()
    expected = (encoded.camera.matrix @ point[0, 0])[:2]
    np.testing.assert_allclose(found, expected, atol=0.25)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"fx": 0.0}, "focal lengths must be positive, got fx = 0.0"),
        ({"cx": float("nan")}, "must be finite"),
        ({"width": 0}, "size must be positive"),
        ({"distortion_model": "thin_prism"}, "'thin_prism' is unknown; known: none, plumb_bob"),
        ({"distortion_model": "plumb_bob", "distortion": (0.1,)}, r"plumb_bob takes \(4, 5\) coefficients, got 1"),
    ],
)
def test_intrinsics_that_cannot_be_are_named(values: dict, named: str) -> None:
    arguments = {"width": 640, "height": 480, "fx": 500.0, "fy": 500.0, "cx": 320.0, "cy": 240.0} | values
    with pytest.raises(CameraError, match=named):
        Camera(**arguments)


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (np.zeros((4, 4), np.uint8), r"uint8 \(4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((1, 1, 3), np.uint8), "at least 2 x 2 pixels, got 1 x 1"),
        ([[1, 2, 3]], "got list"),
    ],
)
def test_images_that_cannot_be_used_are_named(image: np.ndarray, named: str) -> None:
    with pytest.raises(InputError, match=named):
        Frame(0, image)


def test_intrinsics_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="expected intrinsics of 64 x 48 pixels, got 640 x 480"):
        Frame(0, textured_image(0), VGA)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_the_device_crops_as_the_host_does(tiny_networks: Networks, device: str) -> None:
    network = copy.deepcopy(tiny_networks.i2p).to(device)
    camera = Camera(64, 48, 60.0, 60.0, 31.5, 23.5, "plumb_bob", (-0.2, 0.1, 0.0, 0.0, 0.0))
    bgr = np.random.default_rng(0).integers(0, 256, (100, 70, 3), dtype=np.uint8)
    bgr.flags.writeable = False
    frames = [Frame(0, textured_image(0), camera), Frame(1, bgr[..., ::-1])]
    on_host, on_device = (Encoder(network, crop_on_device=where).encode(frames) for where in (False, True))
    for expected, got in zip(on_host, on_device, strict=True):
        assert (got.header, got.camera) == (expected.header, expected.camera)
        np.testing.assert_array_equal(got.image, expected.image)
        torch.testing.assert_close(got.tokens, expected.tokens)


def test_only_a_gpu_crops_unless_told_otherwise(tiny_networks: Networks) -> None:
    frame = Frame(0, textured_image(0))
    assert Encoder(tiny_networks.i2p).prepare(frame).image.shape == (32, 32, 3)
    assert Encoder(tiny_networks.i2p, crop_on_device=True).prepare(frame).image is frame.image


def test_a_frame_prepared_ahead_is_encoded_as_any_other(tiny_networks: Networks) -> None:
    encoder, frame = Encoder(tiny_networks.i2p), Frame(5, textured_image(3), Camera(64, 48, 60.0, 60.0, 31.5, 23.5))
    prepared = encoder.prepare(frame)
    assert prepared.header == ImageHeader(5, (48, 64), frame.camera)
    ahead, at_once = (encoder.encode([given])[0] for given in (prepared, frame))
    assert (ahead.image == at_once.image).all() and ahead.camera == at_once.camera
    assert ahead.header == at_once.header == prepared.header
    assert torch.equal(ahead.tokens, at_once.tokens)


def test_frames_encoded_ahead_get_their_numbers_and_nothing_else_changes(tiny_networks: Networks) -> None:
    encoder = Encoder(tiny_networks.i2p)
    frames = [Frame(number, textured_image(number), number=20 + number) for number in range(3)]
    ahead = [encoder.encode_ahead(encoder.prepare(frame)) for frame in frames]
    assert all(isinstance(frame, EncodedAhead) for frame in ahead)
    for first in (ahead, [ahead[0], *frames[1:]]):  # some may not be
        encoded = EncodedFrame.numbered(encoder.encode(first), 7)
        expected = [encoder.encode([frame])[0] for frame in frames]
        numbers = [(frame.index, frame.source_index, frame.stamp_ns, frame.header.number) for frame in encoded]
        assert numbers == [(7, 7, 0, 20), (8, 8, 1, 21), (9, 9, 2, 22)]
        for got, one_by_one in zip(encoded, expected, strict=True):
            assert got.header == one_by_one.header
            torch.testing.assert_close(got.tokens, one_by_one.tokens)
            torch.testing.assert_close(got.source_activations.tensors, one_by_one.source_activations.tensors)
            assert (got.image == one_by_one.image).all()


def test_what_is_known_of_an_image_travels_with_it(tiny_networks: Networks) -> None:
    """Whichever way it is encoded; the camera is that of the undistorted image, and of the crop where the crop is."""
    camera = Camera(64, 48, 60.0, 60.0, 31.5, 23.5, "plumb_bob", (-0.2, 0.1, 0.0, 0.0, 0.0))
    frame = Frame(5, textured_image(3), camera, frame_id="left_optical", number=12)
    encoder = Encoder(tiny_networks.i2p)
    prepared = encoder.prepare(frame)
    for given in (frame, prepared, encoder.encode_ahead(prepared)):
        (encoded,) = encoder.encode([given])
        assert encoded.header == ImageHeader(5, (48, 64), camera.without_distortion(), "left_optical", 12)
        assert encoded.camera == crop_camera(camera.without_distortion(), (32, 32))
        assert EncodedFrame.of(encoded, 3, 8).header is encoded.header

"""Every encoding, padded rows, both byte orders, and what is wrong named."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
import pytest

from slam3r_ros.io.image_decoding import (
    KNOWN_ENCODINGS,
    ImageError,
    UnknownEncodingError,
    decode_compressed,
    decode_image,
    encoding_remark,
)

HEIGHT, WIDTH = 5, 7
RGB = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
GREY = RGB[..., 0]
ALPHA = np.full((HEIGHT, WIDTH, 1), 77, np.uint8)
GREY_RGB = np.repeat(GREY[..., None], 3, axis=2)
GREY_16 = GREY.astype(np.uint16) * 256 + 200

RGB_16 = RGB.astype(np.uint16) * 256 + 100
RGBA_16 = np.concatenate([RGB_16, ALPHA.astype(np.uint16) * 256], axis=2)

CASES = {
    "rgb8": (RGB, False, RGB),
    "bgr8": (RGB[..., ::-1], False, RGB),
    "8UC3": (RGB[..., ::-1], False, RGB),
    "rgba8": (np.concatenate([RGB, ALPHA], axis=2), False, RGB),
    "bgra8": (np.concatenate([RGB[..., ::-1], ALPHA], axis=2), False, RGB),
    "mono8": (GREY, False, GREY_RGB),
    "8UC1": (GREY, False, GREY_RGB),
    "mono16": (GREY_16.astype("<u2"), False, GREY_RGB),
    "mono16 big-endian": (GREY_16.astype(">u2"), True, GREY_RGB),
    "8UC4": (np.concatenate([RGB[..., ::-1], ALPHA], axis=2), False, RGB),
    "16UC1": (GREY_16.astype("<u2"), False, GREY_RGB),
    "rgb16": (RGB_16.astype("<u2"), False, RGB),
    "rgb16 big-endian": (RGB_16.astype(">u2"), True, RGB),
    "bgr16": (RGB_16[..., ::-1].astype("<u2"), False, RGB),
    "16UC3": (RGB_16[..., ::-1].astype("<u2"), False, RGB),
    "rgba16": (RGBA_16.astype("<u2"), False, RGB),
    "rgba16 big-endian": (RGBA_16.astype(">u2"), True, RGB),
    "bgra16": (RGBA_16[..., [2, 1, 0, 3]].astype("<u2"), False, RGB),
    "16UC4": (RGBA_16[..., [2, 1, 0, 3]].astype("<u2"), False, RGB),
}


def padded(image: np.ndarray, padding: int) -> tuple[bytes, int]:
    rows = np.ascontiguousarray(image).view(np.uint8).reshape(HEIGHT, -1)
    filler = np.full((HEIGHT, padding), 170, np.uint8)
    return np.concatenate([rows, filler], axis=1).tobytes(), rows.shape[1] + padding


def test_the_table_below_has_every_known_encoding():
    interpolated = {"nv12", "nv21", "uyvy", "yuv422", "yuyv", "yuv422_yuy2"}
    interpolated |= {f"bayer_{order}{bits}" for order in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)}
    assert {name.split()[0] for name in CASES} == set(KNOWN_ENCODINGS) - interpolated  # in test_chroma_and_bayer.py


@pytest.mark.parametrize("padding", [0, 1, 9])
@pytest.mark.parametrize("case", CASES)
def test_encodings(case, padding):
    image, is_bigendian, expected = CASES[case]
    data, step = padded(image, padding)
    got = decode_image(data, width=WIDTH, height=HEIGHT, encoding=case.split()[0], step=step, is_bigendian=is_bigendian)
    assert got.dtype == np.uint8 and np.array_equal(got, expected)


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview, lambda b: array("B", b), lambda b: np.frombuffer(b, "u1")]
)
def test_any_buffer(kind):
    data, step = padded(RGB[..., ::-1], 2)
    got = decode_image(kind(data), width=WIDTH, height=HEIGHT, encoding="bgr8", step=step)
    assert np.array_equal(got, RGB)


def test_rgb8_is_not_copied():
    data = bytearray(padded(RGB, 0)[0])
    image = decode_image(data, width=WIDTH, height=HEIGHT, encoding="rgb8", step=WIDTH * 3)
    data[0] ^= 255
    assert image[0, 0, 0] == RGB[0, 0, 0] ^ 255


def test_more_data_than_needed_is_fine():
    data, step = padded(RGB, 0)
    assert np.array_equal(decode_image(data + b"xx", width=WIDTH, height=HEIGHT, encoding="rgb8", step=step), RGB)


@pytest.mark.parametrize("encoding", ["bayer_xxxx8", "yuv444", "8UC2", "32FC1", "", "RGB8"])
def test_unknown_encoding_names_itself_and_the_known(encoding):
    with pytest.raises(UnknownEncodingError, match=f"encoding '{encoding}' is unknown; known: rgb8, bgr8.*mono16"):
        decode_image(b"0" * 1000, width=2, height=2, encoding=encoding, step=100)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"width": 0}, "got 0 x 5"),
        ({"height": 0}, "got 7 x 0"),
        ({"step": 20}, "takes 21 bytes, got step 20"),
        ({"step": 0}, "takes 21 bytes, got step 0"),
        ({"step": 22}, "take 110 bytes, got 105"),
        ({"data": b""}, "take 105 bytes, got 0"),
        ({"height": 6}, "take 126 bytes, got 105"),
    ],
)
def test_values_that_do_not_fit_are_named(change, message):
    values = {"data": RGB.tobytes(), "width": WIDTH, "height": HEIGHT, "encoding": "rgb8", "step": 21} | change
    with pytest.raises(ImageError, match=message):
        decode_image(values.pop("data"), **values)


def smooth_image(height: int = 60, width: int = 80) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, 0 * x + 30], axis=2).astype(np.uint8)


def encoded(extension: str, image: np.ndarray | None = None) -> bytes:
    image = smooth_image() if image is None else image
    return cv2.imencode(extension, image[..., ::-1] if image.ndim == 3 else image)[1].tobytes()


@pytest.mark.parametrize("extension, tolerance", [(".png", 0), (".bmp", 0), (".jpg", 12)])
def test_compressed(extension, tolerance):
    got = decode_compressed(encoded(extension))
    assert np.abs(got.astype(int) - smooth_image()).max() <= tolerance


def test_compressed_grey_and_16_bit():
    grey = smooth_image()[..., 0]
    for image in (grey, grey.astype(np.uint16) * 257):
        assert np.array_equal(decode_compressed(encoded(".png", image)), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("extension", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_an_image_that_breaks_off(extension, share):
    data = encoded(extension, np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))
    with pytest.raises(ImageError, match="breaks off"):
        decode_compressed(data[: int(len(data) * share)])


def test_a_preview_inside_does_not_hide_that_the_image_breaks_off():
    preview, data = encoded(".jpg", smooth_image(8, 8)), encoded(".jpg")
    app1 = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    with_preview = data[:2] + app1 + data[2:]
    assert decode_compressed(with_preview).shape == (60, 80, 3)
    with pytest.raises(ImageError, match="breaks off"):
        decode_compressed(with_preview[:-200])


@pytest.mark.parametrize("image", [smooth_image(), np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)])
@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("rest", [b"", b"\xff", b"\0" * 300])
def test_a_jpeg_that_lacks_only_its_end_mark_is_taken(image, progressive, rest):
    whole = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
    assert whole.endswith(b"\xff\xd9")
    assert np.array_equal(decode_compressed(whole[:-2] + rest), decode_compressed(whole))


@pytest.mark.parametrize("missing", [1, 3, 10, 200])
def test_a_jpeg_that_lacks_a_little_more_breaks_off(missing):
    whole = encoded(".jpg", np.random.default_rng(2).integers(0, 256, (60, 80, 3), np.uint8))
    with pytest.raises(ImageError, match="breaks off"):
        decode_compressed(whole[: -2 - missing])


def test_only_an_encoding_of_uncertain_meaning_is_remarked_on():
    assert {name for name in KNOWN_ENCODINGS if encoding_remark(name)} == {"16UC1"}
    assert "depth" in encoding_remark("16UC1")


def test_padding_after_a_jpeg_is_fine():
    assert decode_compressed(encoded(".jpg") + b"\0" * 50).shape == (60, 80, 3)


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "got no data"),
        (b"hello world, no image", "no readable image"),
        (b"\xff\xd8\xff\xd9", "no readable image"),
        (b"\x89PNG\r\n\x1a\n" + b"IEND", "no readable image"),
    ],
)
def test_bytes_that_are_no_image(data, message):
    with pytest.raises(ImageError, match=message):
        decode_compressed(data)


def test_orientation_is_ignored_unless_asked_for():
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    data = encoded(".jpg")
    turned = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    assert decode_compressed(turned).shape == (60, 80, 3)
    assert decode_compressed(turned, honour_orientation=True).shape == (80, 60, 3)

import numpy as np
import pytest
import torch

from slam3r_ros.device.resize import (
    _REMEMBERED_SIZES,
    PART_BITS,
    DeviceResizer,
    resampling_weights,
    split_weights,
)
from slam3r_ros.engine.encoder import resize_and_crop

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
SIZES = [
    (480, 640), (640, 480), (1080, 1920), (719, 1279), (376, 1241), (100, 130), (225, 224), (223, 300), (224, 224),
    (33, 500), (5, 4), (2, 2),
]  # fmt: skip


def images(height: int, width: int) -> list[np.ndarray]:
    """Noise, and noise of black and white, which overshoots the most."""
    random = np.random.default_rng(height * width)
    grey = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return [grey, np.where(grey > 127, np.uint8(255), np.uint8(0))]


@pytest.mark.parametrize("target", [(224, 224), (112, 112), (96, 128), (32, 32)])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_every_grey_level_is_pillow_s(target: tuple[int, int], device: str) -> None:
    resizer = DeviceResizer(target, torch.device(device))
    for size in SIZES:
        for image in images(*size):
            got = resizer.resize(torch.from_numpy(image).to(device)).permute(1, 2, 0).cpu().numpy()
            np.testing.assert_array_equal(got, resize_and_crop(image, target))


def test_the_largest_sums_are_exact_in_float32() -> None:
    for length in (7680, 16_000):
        weights = resampling_weights(length, 224, range(224), lanczos=True)
        parts = split_weights(weights)
        first, second, third = parts.astype(np.int64).reshape(3, *weights.shape)
        np.testing.assert_array_equal((first << 2 * PART_BITS) + (second << PART_BITS) + third, weights)
        assert np.abs(parts).sum(axis=1).max() * 255 < 2**24
    with pytest.raises(ValueError, match="40000 pixels to 224 are too many"):
        split_weights(resampling_weights(40_000, 224, range(224), lanczos=True))


def test_weights_of_the_middle_are_those_of_the_whole_for_an_image_of_any_shape() -> None:
    """Those of the whole would be 28 GiB for the widest."""
    assert resampling_weights(8192, 458_752, range(229_264, 229_488), lanczos=False).shape == (224, 8192)
    for length, resized, lanczos in ((640, 299, True), (100, 448, False)):
        whole = resampling_weights(length, resized, range(resized), lanczos=lanczos)
        middle = resampling_weights(length, resized, range(30, 254), lanczos=lanczos)
        np.testing.assert_array_equal(middle, whole[30:254])


def test_only_so_many_sizes_are_remembered() -> None:
    resizer = DeviceResizer((32, 32), torch.device("cpu"))
    for width in range(33, 33 + 2 * _REMEMBERED_SIZES):
        resizer.resize(torch.zeros(40, width, 3, dtype=torch.uint8))
    assert len(resizer._matrices) == _REMEMBERED_SIZES

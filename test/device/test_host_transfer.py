import copy
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from synthetic import textured_image

from slam3r_ros.device.host_transfer import Download, join_bytes, split_bytes, to_device, to_host
from slam3r_ros.engine.slam import Slam
from slam3r_ros.networks.weights import Networks
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def some_tensors(device: str) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    floats = torch.randn(5, 3, 2, generator=generator)
    tensors = [floats.mean(), floats, floats.transpose(0, 1)[:, ::2], floats > 0, (99 * floats).to(torch.uint8)]
    return [tensor.to(device) for tensor in tensors]


def test_tensors_of_several_types_travel_as_one_block() -> None:
    tensors = some_tensors("cpu")
    whole = join_bytes(tensors).numpy()
    assert len(whole) == sum(tensor.numel() * tensor.itemsize for tensor in tensors)
    arrays = split_bytes(whole, [(tuple(tensor.shape), tensor.dtype) for tensor in tensors])
    for array, tensor in zip(arrays, tensors, strict=True):
        assert array.dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(array, tensor.numpy())


def test_on_a_cpu_nothing_is_copied() -> None:
    array = np.arange(6, dtype=np.float32)
    tensor = to_device(array, torch.device("cpu"))
    assert np.shares_memory(tensor.numpy(), array)
    assert np.shares_memory(to_host(tensor)[0], array)


@needs_cuda
def test_what_comes_down_is_what_was_there_when_it_began() -> None:
    tensors = some_tensors("cuda")
    expected = [tensor.cpu().numpy() for tensor in tensors]
    download = Download(*tensors)
    for tensor in tensors:
        tensor.zero_()
    kept = download.wait()
    to_host(*(tensor + 1 for tensor in tensors))  # may use the same pinned block
    for array, wanted in zip(kept, expected, strict=True):
        np.testing.assert_array_equal(array, wanted)


@needs_cuda
def test_what_goes_up_is_not_waited_for() -> None:
    torch.cuda.set_sync_debug_mode("error")
    try:
        tensor = to_device(np.arange(1000), torch.device("cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(tensor.cpu(), torch.arange(1000))


@pytest.mark.parametrize(("shortlist", "of_retrieval"), [(0, 1), (4, 2)])
def test_nothing_waits_for_the_device_but_one_copy_a_round(
    tiny_networks: Networks, monkeypatch: pytest.MonkeyPatch, shortlist: int, of_retrieval: int
) -> None:
    """On a device that holds no values every other look at one fails."""
    i2p, l2w = (copy.deepcopy(network).to("meta") for network in (tiny_networks.i2p, tiny_networks.l2w))
    downloads, random = 0, np.random.default_rng(0)

    def made_up(download: Download) -> list[np.ndarray[Any, Any]]:
        nonlocal downloads
        tensors = download._tensors
        if tensors[0].device.type == "cpu":  # the image, which was there all the time
            return [tensor.numpy() for tensor in tensors]
        downloads += 1
        numbers = [np.asarray(1 + random.random(tuple(tensor.shape))) for tensor in tensors]
        return [n.astype(torch.empty(0, dtype=t.dtype).numpy().dtype) for n, t in zip(numbers, tensors, strict=True)]

    monkeypatch.setattr(Download, "wait", made_up)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no such device
    settings = {
        "window.stride": 1, "register.scene_frames": 3, "register.retrieval_interval": 2, "keyframes.interval": 2,
        "register.shortlist": shortlist, "pose.minimum_inliers": 0.0, "initialize.minimum_motion": 0.0,
    }  # fmt: skip
    slam = Slam(Networks(i2p, l2w, "meta", tiny_networks.recommended), SlamSettings().with_values(settings))
    counts = []
    for number in range(24):
        downloads = 0
        slam.push(Frame(number, textured_image(number)))
        counts.append(downloads)
    assert slam.status().registered == 24
    assert counts[13:-1] == [1 + of_retrieval, 1] * 5

"""Ways between the memory of the host and that of the device; on a CPU they are one, and nothing is copied.

A copy to or from ordinary memory makes the program wait until the device has done all it was given. What goes up is
therefore put into pinned memory and not waited for; what comes down is put together first, so that a round of frames
waits once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """An array as a tensor on ``device``; nothing waits for the copy. On a CPU it shares the array's memory."""
    if device.type != "cuda":
        return torch.from_numpy(np.require(values, requirements=["C", "W"])).to(device)
    pinned = torch.empty(values.shape, dtype=torch.from_numpy(np.empty(0, values.dtype)).dtype, pin_memory=True)
    pinned.numpy()[...] = values  # of any strides, and perhaps not to be written to
    # The allocator of pinned memory keeps the block until the copy is done, whoever lets go of it before.
    return pinned.to(device, non_blocking=True)


class Download:
    """Tensors of one device on their way to the host: one copy, begun when this is made.

    What the device is given afterwards does not delay it.
    """

    def __init__(self, *tensors: Tensor) -> None:
        self._tensors: Sequence[Tensor] = tensors
        self._done: torch.cuda.Event | None = None
        if tensors[0].device.type != "cuda":
            return
        self._shapes = [(tuple(t.shape), t.dtype) for t in tensors]
        whole = join_bytes(tensors)
        self._pinned = torch.empty(whole.shape, dtype=torch.uint8, pin_memory=True)
        self._pinned.copy_(whole, non_blocking=True)
        self._done = torch.cuda.Event()
        self._done.record(torch.cuda.current_stream(whole.device))
        self._tensors = ()

    def wait(self) -> list[NDArray[Any]]:
        """The arrays, in ordinary memory; from a CPU they share the tensors' memory."""
        if self._done is None:
            return [tensor.numpy() for tensor in self._tensors]
        self._done.synchronize()
        return split_bytes(self._pinned.numpy().copy(), self._shapes)


def join_bytes(tensors: Sequence[Tensor]) -> Tensor:
    """The bytes of tensors of any types, one behind the other: (bytes,) uint8, a copy."""
    return torch.cat([tensor.reshape(-1).view(torch.uint8) for tensor in tensors])


def split_bytes(whole: NDArray[np.uint8], shapes: Sequence[tuple[tuple[int, ...], torch.dtype]]) -> list[NDArray[Any]]:
    """Arrays of these shapes and types that lie one behind the other in ``whole``, without copying."""
    arrays, start = [], 0
    for shape, dtype in shapes:
        kind = torch.empty(0, dtype=dtype).numpy().dtype
        end = start + kind.itemsize * int(np.prod(shape))
        arrays.append(whole[start:end].view(kind).reshape(shape))
        start = end
    return arrays


def to_host(*tensors: Tensor) -> list[NDArray[Any]]:
    """The tensors as arrays: one copy, which is waited for. On a CPU they share the tensors' memory."""
    return Download(*tensors).wait()

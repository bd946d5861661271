"""Attention by a backend chosen by name."""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

AttentionFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(queries, keys, values), each (batch, heads, tokens, head_width), to the same shape; scale head_width^-0.5."""

BACKENDS = ("auto", "sdpa", "xformers", "plain")
"""The names of backends that a user can choose."""
CALLS_NOT_TIMED = 3
"""The number of calls of a backend, before those that are timed, which load and choose its kernels."""
CALLS_TIMED = 20
"""The number of calls of a backend that are timed; the quickest one counts."""


class BackendError(ValueError):
    """The attention backend asked for is unknown or not installed."""


def _plain(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    flat_queries, flat_keys, flat_values = (tensor.flatten(0, 1) for tensor in (queries, keys, values))
    weights = torch.bmm(flat_queries * queries.shape[-1] ** -0.5, flat_keys.transpose(1, 2))
    return torch.bmm(weights.softmax(dim=-1, dtype=weights.dtype), flat_values).unflatten(0, queries.shape[:2])


def _xformers(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    from xformers.ops import memory_efficient_attention

    by_token = (t.transpose(1, 2).contiguous() for t in (queries, keys, values))
    return memory_efficient_attention(*by_token).transpose(1, 2)


_FUNCTIONS: dict[str, AttentionFunction] = {
    "sdpa": functional.scaled_dot_product_attention,
    "xformers": _xformers,
    "plain": _plain,
}


@dataclass(frozen=True, slots=True)
class AttentionLoad:
    """The attention of a network whose time is compared."""

    dtype: torch.dtype
    """The precision of queries, keys and values."""
    tokens: int
    """The number of tokens of a view."""
    heads: int
    """The number of attention heads."""
    head_width: int
    """The number of channels of a head."""
    views: int = 10
    """The number of views in one call."""

    def random(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (views, heads, tokens, head_width)."""
        shape = (self.views, self.heads, self.tokens, self.head_width)
        queries, keys, values = (torch.randn(shape, device=device, dtype=self.dtype) for _ in range(3))
        return queries, keys, values


def choose_backend(name: str, device: torch.device, load: AttentionLoad | None = None) -> str:
    """The backend that ``name`` means on ``device``.

    'auto' is sdpa; where xformers can be had on CUDA, the quicker of the two for ``load``, measured now. Raises
    BackendError naming the valid choices, or saying that xformers is missing.
    """
    if name not in BACKENDS:
        raise BackendError(f"attention backend '{name}' is unknown; choose one of {', '.join(BACKENDS)}")
    installed = importlib.util.find_spec("xformers") is not None
    if name == "auto":
        if load is None or not installed or device.type != "cuda":
            return "sdpa"
        return quickest(("sdpa", "xformers"), device, load)
    if name == "xformers" and not installed:
        raise BackendError("attention backend 'xformers' is not installed; 'pip install xformers', or choose sdpa")
    if name == "xformers" and device.type != "cuda":
        raise BackendError(f"attention backend 'xformers' needs a CUDA device, got {device}; choose sdpa")
    return name


def attention_function(name: str, device: torch.device, load: AttentionLoad | None = None) -> AttentionFunction:
    """The attention of backend ``name`` on ``device``; raises BackendError as `choose_backend` does."""
    return _FUNCTIONS[choose_backend(name, device, load)]


@torch.inference_mode()
def quickest(names: Sequence[str], device: torch.device, load: AttentionLoad) -> str:
    """Which of the backends takes least time; one that cannot do it at all does not count, unless none can."""
    return min(names, key=lambda name: backend_seconds(name, load, device))


def backend_seconds(name: str, load: AttentionLoad, device: torch.device) -> float:
    """The least time of some calls, after some that load and choose kernels; infinite where the backend raises."""
    attention, inputs, best = _FUNCTIONS[name], load.random(device), math.inf
    for number in range(CALLS_NOT_TIMED + CALLS_TIMED):
        started = time.perf_counter()
        try:
            attention(*inputs)
            if inputs[0].device.type == "cuda":
                torch.cuda.synchronize(inputs[0].device)
        except (RuntimeError, ValueError, NotImplementedError, ImportError):  # a kernel not built for this device
            return math.inf
        if number >= CALLS_NOT_TIMED:
            best = min(best, time.perf_counter() - started)
    return best

"""Attention by a backend chosen by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

AttentionFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(queries, keys, values), each (batch, heads, tokens, head_width), to the same shape; scale head_width^-0.5."""

BACKENDS = ("auto", "sdpa", "xformers", "plain")


class BackendError(ValueError):
    """The attention backend asked for is unknown or not installed."""


def _sdpa(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(queries, keys, values)


def _plain(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    weights = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-2, -1)
    return weights.softmax(dim=-1) @ values


def _xformers(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    from xformers.ops import memory_efficient_attention

    by_token = (t.transpose(1, 2).contiguous() for t in (queries, keys, values))
    return memory_efficient_attention(*by_token).transpose(1, 2)


_FUNCTIONS: dict[str, AttentionFunction] = {"sdpa": _sdpa, "xformers": _xformers, "plain": _plain}


def choose_backend(name: str, device: torch.device) -> str:
    """The backend that ``name`` means on ``device``: 'auto' is xformers on CUDA where it is installed, else sdpa.

    Raises BackendError naming the valid choices, or saying that xformers is missing.
    """
    if name not in BACKENDS:
        raise BackendError(f"attention backend '{name}' is unknown; choose one of {', '.join(BACKENDS)}")
    installed = importlib.util.find_spec("xformers") is not None
    if name == "auto":
        return "xformers" if installed and device.type == "cuda" else "sdpa"
    if name == "xformers" and not installed:
        raise BackendError("attention backend 'xformers' is not installed; 'pip install xformers', or choose sdpa")
    if name == "xformers" and device.type != "cuda":
        raise BackendError(f"attention backend 'xformers' needs a CUDA device, got {device}; choose sdpa")
    return name


def attention_function(name: str, device: torch.device) -> AttentionFunction:
    """The attention of backend ``name`` on ``device``; raises BackendError as `choose_backend` does."""
    return _FUNCTIONS[choose_backend(name, device)]

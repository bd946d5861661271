"""A function's work on a GPU as one CUDA graph: launched at once, with neither Python nor the driver between kernels.

A view's pass through a large network is some thousand kernels of a few microseconds; launching them one by one takes
longer than running them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WARM_UP_CALLS = 2
"""Calls on the capture's own stream before it, so that libraries have set up there what a capture must not do."""
MOST_GRAPHS = 48
"""Graphs of one device; each holds its inputs, its outputs and, in the driver, all its kernels' arguments."""
CALLS_BEFORE_CAPTURE = 6
"""Calls of one combination of shapes that are run as usual: a capture takes some tenths of a second, and as the map
begins there are shapes (fewer scene frames than later) that come for one stretch of frames and never again."""

Tensors = tuple[Tensor, ...]


class CudaGraph:
    """A function of tensors of fixed shapes, captured once and replayed.

    Inputs are copied to where the graph reads them and results from where it writes them: so graphs may share one pool
    of memory and be replayed in any order, by one stream at a time. A graph's inputs lie outside of the pool, and
    between its launch and the copy of its results no other graph runs.
    """

    def __init__(
        self,
        function: Callable[..., Tensors],
        inputs: Tensors,
        stream: torch.cuda.Stream,
        pool: Any,
    ) -> None:
        """Capture ``function`` on ``stream``; raises RuntimeError where it does what cannot be captured."""
        with torch.inference_mode():
            self._inputs = tuple(tensor.clone() for tensor in inputs)
            stream.wait_stream(torch.cuda.current_stream(stream.device))
            with torch.cuda.stream(stream):  # leaves the stream even where the end of the capture raises
                for _ in range(WARM_UP_CALLS):
                    function(*self._inputs)
                self._graph = torch.cuda.CUDAGraph()
                # Other threads may use CUDA meanwhile. Entering waits for the device and empties the cache.
                with torch.cuda.graph(self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                    self._outputs = function(*self._inputs)

    def __call__(self, *inputs: Tensor) -> Tensors:
        """What the function returns, in tensors of its own."""
        with torch.inference_mode():
            for own, given in zip(self._inputs, inputs, strict=True):
                own.copy_(given)
            self._graph.replay()
            return tuple(output.clone() for output in self._outputs)


class CudaGraphs:
    """Captures functions on one device, as many as `MOST_GRAPHS`."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        self._pool: Any = None
        self._captured = 0

    def record(self, function: Callable[..., Tensors], inputs: Tensors) -> Callable[..., Tensors]:
        """The function as a graph; the function itself where there are enough graphs or a capture has failed."""
        if self._captured >= MOST_GRAPHS:
            return function
        try:
            with torch.cuda.device(self._device):
                if self._stream is None:
                    self._stream, self._pool = torch.cuda.Stream(self._device), torch.cuda.graph_pool_handle()
                graph = CudaGraph(function, inputs, self._stream, self._pool)
        except RuntimeError as error:  # out of memory, or an operation that waits for the device
            self._captured = MOST_GRAPHS
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            warnings.warn(f"CUDA graphs are no longer recorded, networks run as usual: {reason}", RuntimeWarning, 2)
            return function
        self._captured += 1
        return graph

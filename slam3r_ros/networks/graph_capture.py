"""CUDA graphs: calls of the networks whose shapes repeat are captured once, and launched at once from then on.

A view's pass through a large network is some thousand kernels of a few microseconds; launching them one by one from
Python takes longer than running them. A stream has few shapes: each is run eagerly at first, and captured when it comes
again and again. On a CPU every call is eager: the blocks are written so that little time passes between two operations.

`with_cuda_graphs` is what the node and the command line use. `CudaGraph` is one captured call, `CudaGraphs` captures
them on one device, `CapturedFunction` chooses between eager calls and captured ones, and `CapturedImageToPoints` and
`CapturedLocalToWorld` are the two networks with their functions captured.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from slam3r_ros.networks.blocks import LayerActivations
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.decoder import Pointmaps
from slam3r_ros.networks.errors import first_line
from slam3r_ros.networks.image_to_points import ImageToPoints
from slam3r_ros.networks.interfaces import NetworkPair, PointsNetwork, WorldNetwork
from slam3r_ros.networks.local_to_world import LocalToWorld
from slam3r_ros.networks.weights import Networks
from slam3r_ros.settings import SlamSettings


@dataclass(frozen=True, slots=True)
class CaptureTuning:
    """How many CUDA graphs are captured, and when."""

    warm_up_calls: int = 2
    """Calls on the capture's own stream before it, so that libraries have set up there what a capture must not do."""
    most_graphs: int = 48
    """Graphs of one device; each holds its inputs, its outputs and, in the driver, all its kernels' arguments."""
    calls_before_capture: int = 6
    """Calls of one combination of shapes that are eager. A capture takes some tenths of a second, and as the map begins
    there are shapes (fewer scene frames than later) that come for one keyframe interval and never again."""
    most_shapes: int = 32
    """Combinations of shapes that one function is captured for; the others stay eager."""


TUNING = CaptureTuning()

Tensors = tuple[Tensor, ...]
Capture = Callable[[Callable[..., Tensors], Tensors], Callable[..., Tensors]]
"""(function, inputs) to something that does for inputs of these shapes what the function does."""


class CudaGraph:
    """A function of tensors of fixed shapes, captured once and launched as one CUDA graph.

    Inputs are copied to where the graph reads them and results from where it writes them: so graphs may share one pool
    of memory and be launched in any order, by one stream at a time. A graph's inputs lie outside of the pool, and
    between its launch and the copy of its results no other graph runs.
    """

    def __init__(
        self,
        function: Callable[..., Tensors],
        inputs: Tensors,
        stream: torch.cuda.Stream,
        pool: torch.cuda._POOL_HANDLE,
    ) -> None:
        """Capture ``function`` on ``stream``; raises RuntimeError where it does what cannot be captured."""
        with torch.inference_mode():
            self._inputs = tuple(tensor.clone() for tensor in inputs)
            stream.wait_stream(torch.cuda.current_stream(stream.device))
            with torch.cuda.stream(stream):  # leaves the stream even where the end of the capture raises
                for _ in range(TUNING.warm_up_calls):
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
    """Captures functions on one device, at most `CaptureTuning.most_graphs`."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream_and_pool: tuple[torch.cuda.Stream, torch.cuda._POOL_HANDLE] | None = None
        self._captured = 0

    def capture(self, function: Callable[..., Tensors], inputs: Tensors) -> Callable[..., Tensors]:
        """The function as a graph; the function itself where there are enough graphs or a capture has failed."""
        if self._captured >= TUNING.most_graphs:
            return function
        try:
            with torch.cuda.device(self._device):
                if self._stream_and_pool is None:
                    self._stream_and_pool = torch.cuda.Stream(self._device), torch.cuda.graph_pool_handle()
                graph = CudaGraph(function, inputs, *self._stream_and_pool)
        except RuntimeError as error:  # out of memory, or an operation that waits for the device
            self._captured = TUNING.most_graphs
            message = f"CUDA graphs are no longer captured, networks run eagerly: {first_line(error)}"
            warnings.warn(message, RuntimeWarning, 2)
            return function
        self._captured += 1
        return graph


class CapturedFunction:
    """A function of tensors: the first calls of each combination of shapes are eager, then it is captured."""

    def __init__(self, function: Callable[..., Tensors], mode: CaptureMode) -> None:
        """``function`` does the same operations for the same shapes, whatever the values."""
        self._function, self._mode = function, mode
        self._calls: Counter[object] = Counter()
        self._captured: dict[object, Callable[..., Tensors]] = {}

    def __call__(self, *inputs: Tensor) -> Tensors:
        """What the function returns."""
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        captured = self._captured.get(shapes)
        if captured is None:
            self._calls[shapes] += 1
            if self._calls[shapes] <= self._mode.calls_before or len(self._captured) >= TUNING.most_shapes:
                return self._function(*inputs)
            captured = self._captured[shapes] = self._mode.capture(self._function, inputs)
        return captured(*inputs)


@dataclass(frozen=True, slots=True)
class CaptureMode:
    """How, and after how many calls, the functions of a network are captured."""

    capture: Capture
    """What captures a function for given shapes."""
    calls_before: int = TUNING.calls_before_capture
    """Eager calls of one combination of shapes."""

    def of(self, function: Callable[..., Tensors]) -> CapturedFunction:
        """The function, captured in this mode."""
        return CapturedFunction(function, self)


class _CapturedViews:
    """What both networks do with views.

    `decoder_tokens`, `embed_points` and `correlation` stay eager: they are few operations, or large ones, and a graph
    would save less than its copies cost.
    """

    def __init__(self, network: ImageToPoints | LocalToWorld, mode: CaptureMode) -> None:
        self._network = network
        self._reference_activations = mode.of(lambda x: network.reference_activations(x).tensors)
        self._source_activations = mode.of(lambda x: network.source_activations(x).tensors)

    @property
    def config(self) -> NetworkConfig:
        """The network's."""
        return self._network.config

    @property
    def device(self) -> torch.device:
        """The network's."""
        return self._network.device

    def decoder_tokens(self, tokens: Tensor) -> Tensor:
        """As the network's."""
        return self._network.decoder_tokens(tokens)

    def reference_activations(self, x: Tensor) -> LayerActivations:
        """As the network's."""
        return LayerActivations(*self._reference_activations(x))

    def source_activations(self, x: Tensor) -> LayerActivations:
        """As the network's."""
        return LayerActivations(*self._source_activations(x))


class CapturedImageToPoints(_CapturedViews):
    """An `ImageToPoints` whose calls are captured."""

    def __init__(self, network: ImageToPoints, mode: CaptureMode, encoding: CaptureMode | None = None) -> None:
        """``encoding``, where it differs: of what makes an encoded frame of an image. On a GPU that has a stream of its
        own, and graphs that share memory must not run at the same time.
        """
        encoding = encoding or mode
        super().__init__(network, encoding)
        self._i2p = network
        self._encode = encoding.of(lambda images: (network.encode(images),))
        self._decode = {need: mode.of(_window_decoder(network, need)) for need in (False, True)}

    def encode(self, images: Tensor) -> Tensor:
        """As the network's."""
        return self._encode(images)[0]

    def decode(
        self, references: LayerActivations, sources: LayerActivations, *, need_sources: bool = True
    ) -> tuple[Pointmaps, Pointmaps | None]:
        """As the network's."""
        result = self._decode[need_sources](*references.tensors, *sources.tensors)
        return Pointmaps(*result[:2]), Pointmaps(*result[2:]) if need_sources else None

    def correlation(self, queries: LayerActivations, candidates: LayerActivations) -> Tensor:
        """As the network's."""
        return self._i2p.correlation(queries, candidates)


class CapturedLocalToWorld(_CapturedViews):
    """A `LocalToWorld` whose calls are captured."""

    def __init__(self, network: LocalToWorld, mode: CaptureMode) -> None:
        super().__init__(network, mode)
        self._l2w = network
        self._decode = {need: mode.of(_scene_decoder(network, need)) for need in (False, True)}

    def embed_points(self, points: Tensor) -> Tensor:
        """As the network's."""
        return self._l2w.embed_points(points)

    def decode(
        self,
        references: LayerActivations,
        sources: LayerActivations,
        reference_embedding: Tensor,
        source_embedding: Tensor,
        *,
        need_references: bool = True,
    ) -> tuple[Pointmaps | None, Pointmaps]:
        """As the network's."""
        inputs = (*references.tensors, *sources.tensors, reference_embedding, source_embedding)
        result = self._decode[need_references](*inputs)
        return Pointmaps(*result[2:]) if need_references else None, Pointmaps(*result[:2])


@dataclass(frozen=True, slots=True, eq=False)
class CapturedNetworks:
    """Two networks whose calls are captured."""

    i2p: PointsNetwork
    """Image-to-Points, with the encoder."""
    l2w: WorldNetwork
    """Local-to-World."""
    name: str
    """The name of the weights."""
    recommended: SlamSettings
    """The engine's settings with which these weights do best."""


def with_cuda_graphs(networks: Networks) -> NetworkPair:
    """The networks, with calls that repeat captured as CUDA graphs; on other devices than CUDA's, as they are."""
    if networks.device.type != "cuda":
        return networks
    # Encoding has a stream of its own, and graphs that share memory must not run at the same time.
    engine, encoding = (CaptureMode(CudaGraphs(networks.device).capture) for _ in range(2))
    return captured_by(networks, engine, encoding)


def captured_by(networks: Networks, mode: CaptureMode, encoding: CaptureMode | None = None) -> CapturedNetworks:
    """The networks, captured in this mode; ``encoding`` as of `CapturedImageToPoints`."""
    i2p, l2w = CapturedImageToPoints(networks.i2p, mode, encoding), CapturedLocalToWorld(networks.l2w, mode)
    return CapturedNetworks(i2p, l2w, networks.name, networks.recommended)


def _both_sides(tensors: Tensors) -> tuple[LayerActivations, LayerActivations]:
    return LayerActivations(*tensors[:4]), LayerActivations(*tensors[4:])


def _window_decoder(network: ImageToPoints, need_sources: bool) -> Callable[..., Tensors]:
    def decode(*tensors: Tensor) -> Tensors:
        references, sources = network.decode(*_both_sides(tensors), need_sources=need_sources)
        return references.tensors if sources is None else (*references.tensors, *sources.tensors)

    return decode


def _scene_decoder(network: LocalToWorld, need_references: bool) -> Callable[..., Tensors]:
    def decode(*tensors: Tensor) -> Tensors:
        layers, (reference_embedding, source_embedding) = _both_sides(tensors[:8]), tensors[8:]
        references, sources = network.decode(
            *layers, reference_embedding, source_embedding, need_references=need_references
        )
        return sources.tensors if references is None else (*sources.tensors, *references.tensors)

    return decode

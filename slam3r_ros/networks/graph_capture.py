"""Networks whose operations are recorded for the shapes that repeat, and replayed without Python between them.

A small network on a CPU spends a quarter of its time in Python, between operations, and there it waits for threads that
hold the interpreter (the executor, which takes images); on a GPU also a large one takes longer to launch than to run. A
stream has few shapes: each is run as usual at first, and recorded when it comes again and again, with TorchScript's
tracer on a CPU and as a CUDA graph on a GPU.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from slam3r_ros.networks.blocks import LayerActivations
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.cuda_graphs import CALLS_BEFORE_CAPTURE, CudaGraphs
from slam3r_ros.networks.decoder import Pointmaps
from slam3r_ros.networks.image_to_points import ImageToPoints
from slam3r_ros.networks.interfaces import NetworkPair, PointsNetwork, WorldNetwork
from slam3r_ros.networks.local_to_world import LocalToWorld
from slam3r_ros.networks.weights import Networks
from slam3r_ros.settings import SlamSettings

CALLS_BEFORE_RECORDING = 2
"""Calls of one combination of shapes that are run as usual."""
MOST_RECORDINGS = 32
"""Combinations of shapes that one function is recorded for; the others are run as usual."""

Tensors = tuple[Tensor, ...]
Recorder = Callable[[Callable[..., Tensors], Tensors], Callable[..., Tensors]]
"""(function, inputs) to something that does for inputs of these shapes what the function does."""


def trace(function: Callable[..., Tensors], inputs: Tensors) -> Callable[..., Tensors]:
    """The operations of ``function``, run without Python between them; for a CPU."""
    with warnings.catch_warnings():  # of shapes that become constants: they are
        warnings.simplefilter("ignore")
        traced = cast(Callable[..., Tensors], torch.jit.trace(function, inputs, check_trace=False))

    def run(*tensors: Tensor) -> Tensors:
        with torch.jit.optimized_execution(False):  # the optimiser finds nothing here, and takes its time at first
            return traced(*tensors)

    return run


def as_usual(function: Callable[..., Tensors], _inputs: Tensors) -> Callable[..., Tensors]:
    """The function itself: for work that recording does not make quicker."""
    return function


class Replay:
    """A function of tensors that repeats what it did before with tensors of the same shapes."""

    def __init__(
        self, function: Callable[..., Tensors], recorder: Recorder = trace, calls_before: int = CALLS_BEFORE_RECORDING
    ) -> None:
        """``function`` does the same operations for the same shapes, whatever the values."""
        self._function, self._recorder, self._calls_before = function, recorder, calls_before
        self._calls: Counter[object] = Counter()
        self._recordings: dict[object, Callable[..., Tensors]] = {}

    def __call__(self, *inputs: Tensor) -> Tensors:
        """What the function returns."""
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        recording = self._recordings.get(shapes)
        if recording is None:
            self._calls[shapes] += 1
            if self._calls[shapes] <= self._calls_before or len(self._recordings) >= MOST_RECORDINGS:
                return self._function(*inputs)
            recording = self._recordings[shapes] = self._record(inputs)
        return recording(*inputs)

    def _record(self, inputs: Tensors) -> Callable[..., Tensors]:
        return self._recorder(self._function, inputs)


@dataclass(frozen=True, slots=True)
class Replays:
    """How the calls of a network are recorded."""

    recorder: Recorder
    calls_before: int = CALLS_BEFORE_RECORDING

    def of(self, function: Callable[..., Tensors]) -> Replay:
        """The function, replayed."""
        return Replay(function, self.recorder, self.calls_before)

    def of_large(self, function: Callable[..., Tensors]) -> Replay:
        """A function of few operations, or of large ones: a graph would save less than its copies cost."""
        return Replay(function, trace if self.recorder is trace else as_usual, self.calls_before)


class _ReplayedViews:
    """What both networks do with views."""

    def __init__(self, network: ImageToPoints | LocalToWorld, replays: Replays) -> None:
        self._network = network
        self._decoder_tokens = replays.of_large(lambda tokens: (network.decoder_tokens(tokens),))
        self._reference_activations = replays.of(lambda x: network.reference_activations(x).tensors)
        self._source_activations = replays.of(lambda x: network.source_activations(x).tensors)

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
        return self._decoder_tokens(tokens)[0]

    def reference_activations(self, x: Tensor) -> LayerActivations:
        """As the network's."""
        return LayerActivations(*self._reference_activations(x))

    def source_activations(self, x: Tensor) -> LayerActivations:
        """As the network's."""
        return LayerActivations(*self._source_activations(x))


class ReplayedImageToPoints(_ReplayedViews):
    """An `ImageToPoints`, replayed."""

    def __init__(self, network: ImageToPoints, replays: Replays, encoding: Replays | None = None) -> None:
        """``encoding``, where it differs: of what makes an encoded frame of an image. On a GPU that has a stream of its
        own, and graphs that share memory must not run at the same time.
        """
        encoding = encoding or replays
        super().__init__(network, encoding)
        self._encode = encoding.of(lambda images: (network.encode(images),))
        self._correlation = replays.of_large(lambda *tensors: (network.correlation(*_layer_inputs(tensors)),))
        self._decode = {need: replays.of(_window_decoder(network, need)) for need in (False, True)}

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
        return self._correlation(*queries.tensors, *candidates.tensors)[0]


class ReplayedLocalToWorld(_ReplayedViews):
    """A `LocalToWorld`, replayed."""

    def __init__(self, network: LocalToWorld, replays: Replays) -> None:
        super().__init__(network, replays)
        self._embed_points = replays.of_large(lambda points: (network.embed_points(points),))
        self._decode = {need: replays.of(_scene_decoder(network, need)) for need in (False, True)}

    def embed_points(self, points: Tensor) -> Tensor:
        """As the network's."""
        return self._embed_points(points)[0]

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
class ReplayedNetworks:
    """Two networks, replayed."""

    i2p: PointsNetwork
    l2w: WorldNetwork
    name: str
    recommended: SlamSettings


def replayed(networks: Networks) -> NetworkPair:
    """The networks, replayed if they are on a CPU or a CUDA device; what they answer stays the same."""
    if networks.device.type not in ("cpu", "cuda"):
        return networks
    if networks.device.type == "cpu":
        return replayed_by(networks, Replays(trace))
    engine, encoder = (Replays(CudaGraphs(networks.device).record, CALLS_BEFORE_CAPTURE) for _ in range(2))
    return replayed_by(networks, engine, encoder)


def replayed_by(networks: Networks, replays: Replays, encoding: Replays | None = None) -> ReplayedNetworks:
    """The networks, replayed as these say; ``encoding`` as of `ReplayedImageToPoints`."""
    i2p, l2w = ReplayedImageToPoints(networks.i2p, replays, encoding), ReplayedLocalToWorld(networks.l2w, replays)
    return ReplayedNetworks(i2p, l2w, networks.name, networks.recommended)


def _layer_inputs(tensors: Tensors) -> tuple[LayerActivations, LayerActivations]:
    return LayerActivations(*tensors[:4]), LayerActivations(*tensors[4:])


def _window_decoder(network: ImageToPoints, need_sources: bool) -> Callable[..., Tensors]:
    def decode(*tensors: Tensor) -> Tensors:
        references, sources = network.decode(*_layer_inputs(tensors), need_sources=need_sources)
        return references.tensors if sources is None else (*references.tensors, *sources.tensors)

    return decode


def _scene_decoder(network: LocalToWorld, need_references: bool) -> Callable[..., Tensors]:
    def decode(*tensors: Tensor) -> Tensors:
        layers, (reference_embedding, source_embedding) = _layer_inputs(tensors[:8]), tensors[8:]
        references, sources = network.decode(
            *layers, reference_embedding, source_embedding, need_references=need_references
        )
        return sources.tensors if references is None else (*sources.tensors, *references.tensors)

    return decode

"""Networks whose operations are recorded for the shapes that repeat, and replayed without Python between them.

A small network on a CPU spends a quarter of its time in Python, between operations, and there it waits for threads that
hold the interpreter (the executor, which takes images). A stream has few shapes: each is run as usual at first, and
recorded with TorchScript's tracer when it comes again and again.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from slam3r_ros.networks.blocks import LayerInput
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.decoder import Pointmaps
from slam3r_ros.networks.image_to_points import ImageToPoints
from slam3r_ros.networks.interfaces import NetworkPair, PointsNetwork, WorldNetwork
from slam3r_ros.networks.local_to_world import LocalToWorld
from slam3r_ros.networks.weights import Networks, WeightSettings

CALLS_BEFORE_RECORDING = 2
"""Calls of one combination of shapes that are run as usual."""
MOST_RECORDINGS = 32
"""Combinations of shapes that one function is recorded for; the others are run as usual."""

Tensors = tuple[Tensor, ...]


class Replay:
    """A function of tensors that repeats what it did before with tensors of the same shapes."""

    def __init__(self, function: Callable[..., Tensors]) -> None:
        """``function`` does the same operations for the same shapes, whatever the values."""
        self._function = function
        self._calls: Counter[object] = Counter()
        self._recordings: dict[object, Callable[..., Tensors]] = {}

    def __call__(self, *inputs: Tensor) -> Tensors:
        """What the function returns."""
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        recording = self._recordings.get(shapes)
        if recording is None:
            self._calls[shapes] += 1
            if self._calls[shapes] <= CALLS_BEFORE_RECORDING or len(self._recordings) >= MOST_RECORDINGS:
                return self._function(*inputs)
            recording = self._recordings[shapes] = self._record(inputs)
        with torch.jit.optimized_execution(False):  # the optimiser finds nothing here, and takes its time at first
            return recording(*inputs)

    def _record(self, inputs: Tensors) -> Callable[..., Tensors]:
        with warnings.catch_warnings():  # of shapes that become constants: they are
            warnings.simplefilter("ignore")
            return cast(Callable[..., Tensors], torch.jit.trace(self._function, inputs, check_trace=False))


class _ReplayedViews:
    """What both networks do with views."""

    def __init__(self, network: ImageToPoints | LocalToWorld) -> None:
        self._network = network
        self._decoder_tokens = Replay(lambda tokens: (network.decoder_tokens(tokens),))
        self._first_reference = Replay(lambda x: network.first_reference(x).tensors)
        self._first_source = Replay(lambda x: network.first_source(x).tensors)

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

    def first_reference(self, x: Tensor) -> LayerInput:
        """As the network's."""
        return LayerInput(*self._first_reference(x))

    def first_source(self, x: Tensor) -> LayerInput:
        """As the network's."""
        return LayerInput(*self._first_source(x))


class ReplayedImageToPoints(_ReplayedViews):
    """An `ImageToPoints`, replayed."""

    def __init__(self, network: ImageToPoints) -> None:
        super().__init__(network)
        self._encode = Replay(lambda images: (network.encode(images),))
        self._correlation = Replay(lambda *tensors: (network.correlation(*_layer_inputs(tensors)),))
        self._decode = {need: Replay(_window_decoder(network, need)) for need in (False, True)}

    def encode(self, images: Tensor) -> Tensor:
        """As the network's."""
        return self._encode(images)[0]

    def decode(
        self, references: LayerInput, sources: LayerInput, *, need_sources: bool = True
    ) -> tuple[Pointmaps, Pointmaps | None]:
        """As the network's."""
        result = self._decode[need_sources](*references.tensors, *sources.tensors)
        return Pointmaps(*result[:2]), Pointmaps(*result[2:]) if need_sources else None

    def correlation(self, queries: LayerInput, candidates: LayerInput) -> Tensor:
        """As the network's."""
        return self._correlation(*queries.tensors, *candidates.tensors)[0]


class ReplayedLocalToWorld(_ReplayedViews):
    """A `LocalToWorld`, replayed."""

    def __init__(self, network: LocalToWorld) -> None:
        super().__init__(network)
        self._embed_points = Replay(lambda points: (network.embed_points(points),))
        self._decode = {need: Replay(_scene_decoder(network, need)) for need in (False, True)}

    def embed_points(self, points: Tensor) -> Tensor:
        """As the network's."""
        return self._embed_points(points)[0]

    def decode(
        self,
        references: LayerInput,
        sources: LayerInput,
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
    recommended: WeightSettings


def replayed(networks: Networks) -> NetworkPair:
    """The networks, replayed if they are on a CPU; what they answer stays the same."""
    if networks.device.type != "cpu":
        return networks
    i2p, l2w = ReplayedImageToPoints(networks.i2p), ReplayedLocalToWorld(networks.l2w)
    return ReplayedNetworks(i2p, l2w, networks.name, networks.recommended)


def _layer_inputs(tensors: Tensors) -> tuple[LayerInput, LayerInput]:
    return LayerInput(*tensors[:4]), LayerInput(*tensors[4:])


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

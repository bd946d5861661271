"""Ways to run the embedded networks on a CPU, through the whole engine over one video: what each costs and changes.

Part ``cpu`` of ``make bench``. There are no image tracks, so every frame goes through both networks and little else is
done. Each way maps the video twice; the second time is timed, the first sets it up.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from slam3r_lab.benchmarks.precision import Drift, drift_of, map_video
from slam3r_ros.engine.slam import Slam
from slam3r_ros.networks.graph_capture import Replays, Tensors, replayed, replayed_by
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.networks.rotary import RotatedLinear
from slam3r_ros.networks.weights import Networks, load_networks
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import MapUpdate

STACKS = ("encoder_blocks", "reference_blocks", "source_blocks")


def eager() -> NetworkPair:
    """Operation by operation, from Python."""
    return _embedded()


def replay() -> NetworkPair:
    """As the node runs them."""
    return replayed(_embedded())


def bfloat16() -> NetworkPair:
    """Replayed, in bfloat16 but for heads and points."""
    return replayed(load_networks("embedded", device="cpu", precision="bfloat16"))


def int8() -> NetworkPair:
    """Eager (the tracer cannot hold packed weights), products of the blocks in int8: weights once, activations as they
    come (torch's dynamic quantisation).
    """
    networks = _embedded()
    for network in (networks.i2p, networks.l2w):
        for name in STACKS:
            if hasattr(network, name):
                setattr(network, name, quantised(getattr(network, name)))
    return networks


def compiled() -> NetworkPair:
    """What repeats compiled by torch.compile, a kernel for each of its shapes."""
    return replayed_by(_embedded(), Replays(_compile))


WAYS: dict[str, Callable[[], NetworkPair]] = {
    "eager": eager,
    "replayed (the node's)": replay,
    "bfloat16, replayed": bfloat16,
    "int8, eager": int8,
    "torch.compile": compiled,
}


def _embedded() -> Networks:
    return load_networks("embedded", device="cpu", precision="float32")


def _compile(function: Callable[..., Tensors], _inputs: Tensors) -> Callable[..., Tensors]:
    compiled: Callable[..., Tensors] = torch.compile(function, dynamic=False)
    return compiled


def quantised(blocks: nn.Module) -> nn.Module:
    """The same blocks with the products of their linear layers in int8."""
    for module in list(blocks.modules()):
        for name, child in module.named_children():
            if isinstance(child, RotatedLinear):
                setattr(module, name, _plain_linear(child))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch means to move this elsewhere
        result: nn.Module = torch.ao.quantization.quantize_dynamic(blocks, {nn.Linear}, dtype=torch.qint8)
    return result


def _plain_linear(layer: nn.Linear) -> nn.Linear:
    """The layer as torch's own, whose channels stay as they are in memory."""
    plain = nn.Linear(layer.in_features, layer.out_features)
    plain.weight, plain.bias = layer.weight, layer.bias
    return plain


@dataclass(frozen=True, slots=True)
class WayCost:
    """One way, over the second time that the video is mapped."""

    set_up_s: float
    """What the first time took longer than the second, loading included."""
    drift: Drift
    """Against the first way."""


def measure_ways(
    images: Sequence[NDArray[np.uint8]], ways: dict[str, Callable[[], NetworkPair]] | None = None
) -> list[WayCost]:
    """All ways, one after the other; the first is what the others are compared with."""
    costs: list[WayCost] = []
    expected: list[MapUpdate] = []
    settings = SlamSettings().with_values({"pose.tracks": "off"})
    for name, make in (ways or WAYS).items():
        started = time.perf_counter()
        networks = make()
        map_video(Slam(networks, settings), images, name)
        first_s = time.perf_counter() - started
        started = time.perf_counter()
        updates = map_video(slam := Slam(networks, settings), images, name)
        second_s = time.perf_counter() - started
        expected = expected or updates
        drift = drift_of(name, 1e3 * second_s / len(images), updates, expected, len(slam.trajectory()))
        costs.append(WayCost(first_s - second_s, drift))
        torch.compiler.reset()
    return costs


def ways_table(costs: Sequence[WayCost], frames: int) -> list[str]:
    """Markdown."""
    base = costs[0].drift.frame_ms
    lines = [
        f"**Embedded networks on this CPU** ({torch.get_num_threads()} threads, {frames} frames, no image tracks: "
        "every frame through both networks; decoding of images not included; errors against the first row)",
        "",
        "| way | set-up, s | ms a frame | times as fast | tracked | own points: error | world points: error "
        "| position: error over extent |",
        "|---|" + "---:|" * 7,
    ]
    for cost in costs:
        d = cost.drift
        lines.append(
            f"| {d.precision} | {cost.set_up_s:.1f} | {d.frame_ms:.1f} | {base / d.frame_ms:.2f} | {d.tracked} "
            f"| {d.local_error:.1e} | {d.world_error:.1e} | {d.position_error:.1e} |"
        )
    return lines

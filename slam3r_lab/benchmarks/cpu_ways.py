"""Ways to run the embedded networks on a CPU, through the whole engine over one video: what each costs and changes.

Part ``cpu`` of ``make bench``. There are no image tracks, so every frame goes through both networks and little else is
done. Each way maps the video twice; the second time is timed, the first sets it up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from slam3r_lab.benchmarks.precision import Drift, drift_of, map_video
from slam3r_ros.engine.slam import Slam
from slam3r_ros.networks.graph_capture import CaptureMode, Tensors, captured_by
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.networks.weights import Networks, load_networks
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import MapUpdate


def eager() -> NetworkPair:
    """Operation by operation, from Python, as the node runs them."""
    return _embedded()


def bfloat16() -> NetworkPair:
    """Eager, in bfloat16 but for heads and points."""
    return load_networks("embedded", device="cpu", precision="bfloat16")


def compiled() -> NetworkPair:
    """What repeats compiled by torch.compile, a kernel for each of its shapes."""
    return captured_by(_embedded(), CaptureMode(_compile, calls_before=2))


WAYS: dict[str, Callable[[], NetworkPair]] = {
    "eager (the node's)": eager,
    "bfloat16": bfloat16,
    "torch.compile": compiled,
}


def _embedded() -> Networks:
    return load_networks("embedded", device="cpu", precision="float32")


def _compile(function: Callable[..., Tensors], _inputs: Tensors) -> Callable[..., Tensors]:
    compiled: Callable[..., Tensors] = torch.compile(function, dynamic=False)
    return compiled


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

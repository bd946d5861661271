"""Time and memory of each network stage, by itself, for networks of any size (random weights unless told otherwise)."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import numpy as np
import torch
from tqdm import tqdm

from slam3r_ros.engine.encode import Encoder
from slam3r_ros.engine.i2p import LocalPoints
from slam3r_ros.engine.l2w import Registrar, select_scene
from slam3r_ros.engine.retrieval import Retrieval
from slam3r_ros.engine.types import Frame, Keyframe, Window
from slam3r_ros.networks.blocks import LayerInput
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.image_to_points import ImageToPoints
from slam3r_ros.networks.local_to_world import LocalToWorld
from slam3r_ros.networks.weights import Networks, WeightSettings, choose_device

_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Workload:
    """How much one frame asks of each stage."""

    radius: int
    """Window radius; a window has 2 * radius + 1 views, radius + 1 if only past ones."""
    past_only: bool
    scene_frames: int
    together: int
    """Frames registered in one call."""
    buffer_size: int
    """Candidates of one retrieval."""


PUBLISHED = Workload(radius=5, past_only=False, scene_frames=10, together=10, buffer_size=100)
"""The published script's settings at a stride of 20: ten frames registered together."""


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage costs."""

    stage: str
    per_call_ms: float
    """Median."""
    frames_per_call: int
    added_memory_mib: float
    """Highest memory during the call above that before it; of the device if there is one, else of the process."""

    @property
    def per_frame_ms(self) -> float:
        """Share of one frame."""
        return self.per_call_ms / self.frames_per_call


def random_networks(i2p: NetworkConfig, l2w: NetworkConfig, device: str, dtype: torch.dtype) -> Networks:
    """Networks of these sizes with random weights."""
    torch.manual_seed(0)
    on = choose_device(device)
    networks = ImageToPoints(i2p), LocalToWorld(l2w)
    for network in networks:
        network.to(on)
        network.use_precision(dtype)
        network.use_attention("auto")
        network.eval().requires_grad_(False)
    return Networks(*networks, "random", WeightSettings(0.0, 0.0, 0.0, 0.0, 0.0))


@torch.inference_mode()
def measure_stages(networks: Networks, work: Workload, repetitions: int) -> list[StageCost]:
    """Cost of encoding, I2P, retrieval and L2W; ``repetitions`` timed calls each, after one that is not."""
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (2 * work.radius + work.together, 480, 640, 3), dtype=np.uint8)
    encoder, local_points = Encoder(networks.i2p), LocalPoints(networks.i2p, 0.0)
    frames = encoder.encode([Frame(number, image) for number, image in enumerate(images)], 0)
    members = work.radius if work.past_only else 2 * work.radius
    windows = [Window(frames[i], tuple((frames[:i] + frames[i + 1 :])[:members])) for i in range(work.together)]
    locals_ = [local_points.estimate([window])[0] for window in windows]
    scene = [Keyframe(locals_[0], locals_[0].points_camera, locals_[0].confidence, 2.0, None)] * work.scene_frames
    registrar = Registrar(networks.l2w, normalise_input=False)
    scene_input = registrar.scene_input(scene)
    everything = tuple(range(work.scene_frames))
    candidates = LayerInput.stack([frames[number % len(frames)].as_source for number in range(work.buffer_size)])
    retrieval = Retrieval(networks.i2p, work.scene_frames)
    queries = [window.reference for window in windows[::2]]
    calls: list[tuple[str, int, Callable[[], object]]] = [
        ("encode", 1, lambda: encoder.encode([Frame(0, images[0])], 0)),
        (f"i2p, windows of {members + 1}", work.together, lambda: local_points.estimate(windows)),
        (
            f"retrieval, {work.buffer_size} candidates",
            work.together,
            lambda: retrieval.choose(queries, work.buffer_size, candidates),
        ),
        (
            f"l2w, {work.scene_frames} + {work.together} views",
            work.together,
            lambda: registrar.register(locals_, scene, select_scene(scene_input, everything)),
        ),
    ]
    return [
        _measure(name, frames_per_call, call, networks.device, repetitions)
        for name, frames_per_call, call in tqdm(calls, desc="stages", leave=False)
    ]


def _measure(
    name: str, frames_per_call: int, call: Callable[[], object], device: torch.device, repetitions: int
) -> StageCost:
    times_ms = []
    with _peak_memory(device) as peak:
        call()
    for _ in range(repetitions):
        started = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times_ms.append((time.perf_counter() - started) * 1e3)
    return StageCost(name, statistics.median(times_ms), frames_per_call, peak[0] / _MEBIBYTE)


@contextmanager
def _peak_memory(device: torch.device) -> Iterator[list[int]]:
    """One number, known after the body: bytes of memory at its highest above those before."""
    peak = [0]
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield peak
        torch.cuda.synchronize(device)
        peak[0] = torch.cuda.max_memory_allocated(device) - before
        return
    before, stop = _resident_bytes(), Event()

    def watch() -> None:
        while not stop.wait(0.001):
            peak[0] = max(peak[0], _resident_bytes() - before)

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    yield peak
    stop.set()
    watcher.join()


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

"""Time and memory of each stage by itself, beside the least that the counted operations and bytes can take here."""

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
from numpy.typing import NDArray
from tqdm import tqdm

from slam3r_lab.benchmarks.engine_way import EngineWay
from slam3r_lab.benchmarks.machine import Ceilings, synchronize
from slam3r_lab.benchmarks.operations import Count, Work, Workload
from slam3r_lab.benchmarks.scene import make_scene, random_image, warm_up
from slam3r_ros.engine.camera_pose import CameraPoseEstimator
from slam3r_ros.engine.encoder import resize_and_crop
from slam3r_ros.engine.point_map import PointMap
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.networks.weights import Networks
from slam3r_ros.settings import MapSettings, PoseSettings

_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage costs."""

    stage: str
    per_call_ms: float
    """Median."""
    calls: int
    """Calls timed."""
    frames_per_call: int
    added_memory_mib: float
    """Highest memory during a call above that before it; of the device if there is one, else of the process."""
    gflop: float
    """Operations of one call, in 1e9."""
    floor_ms: float
    """The least that one call can take on this machine; 0 where nothing was counted."""

    @property
    def per_frame_ms(self) -> float:
        """Share of one frame."""
        return self.per_call_ms / self.frames_per_call


@dataclass(frozen=True, slots=True)
class TimeBox:
    """How long a stage may be measured."""

    ceilings: Ceilings
    seconds: float
    """For one stage: large calls are made smaller, small ones repeated, until they need about this, if all is ideal."""
    most_calls: int = 30

    def fit(self, work: Callable[[int], Work], most: int) -> int:
        """The most frames in one call, from 1 to ``most``, whose work stays inside."""
        inside = [n for n in range(1, most + 1) if self.ceilings.floor_ms(work(n)) <= self.seconds * 1e3]
        return max(inside, default=1)

    def calls(self, floor_ms: float) -> int:
        """How many calls of so many milliseconds stay inside, at least one."""
        return max(1, min(self.most_calls, int(self.seconds * 1e3 / max(floor_ms, 1e-3))))


@torch.inference_mode()
def measure_stages(networks: Networks, load: Workload, box: TimeBox) -> list[StageCost]:
    """Every stage from the image to the map, after a warm-up of one decoder layer."""
    count = Count(networks.i2p.config, bytes_per_value=networks.i2p.dtype.itemsize)
    scene = make_scene(networks.i2p, load)
    engine = EngineWay(networks, 0.0, load, scene, synchronised=True)
    warm_up(networks, scene)
    windows = box.fit(lambda n: count.i2p(n, load.sources), load.together)
    asking = box.fit(lambda n: count.correlation((n + 1) // 2, load.scored), load.together)
    registered = box.fit(lambda n: count.l2w(load.scene_frames, n), load.together)
    frames = engine.encode(scene.images[: max(windows, asking, registered)])
    # Frames without a window of their own take the points of the first one that has: the cost is the same.
    locals_ = engine.local_points(frames[:1]) * len(frames)
    chosen = tuple(range(load.scene_frames))
    calls: list[tuple[str, int, Work, Callable[[], object]]] = [
        ("encode", 1, count.encode(), lambda: engine.encode(scene.images[:1])),
        (
            f"i2p, {windows} windows of {load.sources + 1}",
            windows,
            count.i2p(windows, load.sources),
            lambda: engine.local_points(frames[:windows]),
        ),
        (
            f"retrieval, {(asking + 1) // 2} queries, {load.scored} of {load.buffer_size} candidates scored",
            asking,
            count.correlation((asking + 1) // 2, load.scored),
            lambda: engine.choose(locals_[:asking]),
        ),
        (
            f"l2w, {load.scene_frames} + {registered} views",
            registered,
            count.l2w(load.scene_frames, registered),
            lambda: engine.register(locals_[:registered], chosen),
        ),
    ]
    costs = [_measure(*call, networks.device, box) for call in tqdm(calls, desc="stages", leave=False)]
    return [*_outside_the_networks(networks.i2p.config.image_size, box), *costs]


def _outside_the_networks(size: tuple[int, int], box: TimeBox) -> list[StageCost]:
    """Resizing an image of 640 x 480 pixels, the pose of a pointmap, and its way into the map; on the CPU."""
    image, cpu = random_image(0), torch.device("cpu")
    camera = Camera(size[1], size[0], 0.9 * size[1], 0.9 * size[1], size[1] / 2, size[0] / 2)
    points = wall_points(camera)
    confidence = np.full(size, 3.0, np.float32)
    settings = PoseSettings(inlier_threshold=0.02)
    world_map, colours = PointMap(MapSettings(point_confidence=0.0)), resize_and_crop(image, size)
    steps = iter(range(1_000_000))

    def add() -> None:
        moved = points + np.float32(0.001 * next(steps))
        world_map.add(moved.reshape(-1, 3), colours.reshape(-1, 3), confidence.reshape(-1))

    moved = Work(bytes=float(points.nbytes + confidence.nbytes + colours.nbytes))
    return [
        _measure("preprocess", 1, Work(bytes=float(image.nbytes)), lambda: resize_and_crop(image, size), cpu, box),
        _measure(
            "pose", 1, moved,
            lambda: CameraPoseEstimator(settings).estimate(points, confidence, points, confidence, camera), cpu, box,
        ),
        _measure("map", 1, moved, add, cpu, box),
    ]  # fmt: skip


def wall_points(camera: Camera) -> NDArray[np.float32]:
    """(H, W, 3) camera points of a wavy wall about two units away."""
    v, u = np.mgrid[: camera.height, : camera.width].astype(np.float32)
    depth = 2 + 0.3 * np.sin(u / 17) * np.cos(v / 23)
    matrix = camera.matrix
    x, y = (u - matrix[0, 2]) / matrix[0, 0] * depth, (v - matrix[1, 2]) / matrix[1, 1] * depth
    return np.stack([x, y, depth], axis=-1).astype(np.float32)


def _measure(
    name: str, frames_per_call: int, work: Work, call: Callable[[], object], device: torch.device, box: TimeBox
) -> StageCost:
    """The first call of a short stage is not timed; it is of one that takes seconds, for which layers are warm."""
    floor_ms, times_ms = box.ceilings.floor_ms(work), []
    calls = box.calls(2 * floor_ms)
    with _peak_memory(device) as peak:
        started = time.perf_counter()
        call()
        synchronize(device)
        first_ms = (time.perf_counter() - started) * 1e3
    if calls == 1:
        times_ms.append(first_ms)
    while len(times_ms) < calls and sum(times_ms) <= box.seconds * 1e3:
        started = time.perf_counter()
        call()
        synchronize(device)
        times_ms.append((time.perf_counter() - started) * 1e3)
    return StageCost(
        stage=name,
        per_call_ms=statistics.median(times_ms),
        calls=len(times_ms),
        frames_per_call=frames_per_call,
        added_memory_mib=peak[0] / _MEBIBYTE,
        gflop=work.operations / 1e9,
        floor_ms=floor_ms,
    )


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


def stage_table(title: str, costs: list[StageCost], ceilings: Ceilings) -> list[str]:
    """Markdown."""
    rows = [
        f"| {cost.stage} | {cost.calls} | {cost.per_call_ms:.1f} | {cost.per_frame_ms:.1f} | {cost.gflop:.1f} "
        f"| {cost.floor_ms:.2f} | {cost.per_call_ms / cost.floor_ms:.1f} | {cost.added_memory_mib:.0f} |"
        for cost in costs
    ]
    return [
        f"**Stages, {title}**; this machine then: {ceilings}",
        "",
        "| stage | calls | ms a call | ms a frame | GFLOP a call | floor ms a call | over floor | memory added, MiB |",
        "|---" * 8 + "|",
        *rows,
    ]

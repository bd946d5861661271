"""The whole engine on a stream: frame by frame, beside a camera that does not wait, and with the memory nearly full."""

from __future__ import annotations

import gc
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slam3r_lab.benchmarks.random_networks import random_networks
from slam3r_lab.benchmarks.scene import random_image
from slam3r_lab.benchmarks.stages import wall_points
from slam3r_ros.engine.events import MappedPlace
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.slam import Slam
from slam3r_ros.engine.warm_up import warm_up
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.io.prefetch import prefetched
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.decoder import Pointmaps
from slam3r_ros.networks.graph_capture import with_cuda_graphs
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.networks.weights import PRECISIONS
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import EncodedAhead, Frame, PreparedFrame

CAMERA_QUEUE = 4
"""Images that wait for the engine at most; the oldest leaves for a new one, and counts as a drop."""
STEP = 0.002
"""How far the made-up camera moves from frame to frame, scene units."""
SPARE_MIB = 300
"""Memory beyond the networks' own that `measure_full_memory` leaves."""


class _Plausible:
    """A network whose points, once computed, are replaced by a wall's: pose and map then do what they do in life."""

    def __init__(self, network: Any, *, moves: bool) -> None:
        self._network, self._moves, self._calls = network, moves, 0
        height, width = network.config.image_size
        camera = Camera(width, height, 0.9 * width, 0.9 * width, (width - 1) / 2, (height - 1) / 2)
        self._wall = torch.from_numpy(wall_points(camera)).to(network.device)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def decode(self, *inputs: Any, **options: Any) -> tuple[Pointmaps | None, Pointmaps | None]:
        references, sources = self._network.decode(*inputs, **options)
        self._calls += self._moves
        return self._of_wall(references), self._of_wall(sources)

    def _of_wall(self, result: Pointmaps | None) -> Pointmaps | None:
        if result is None:
            return None
        wall = self._wall + STEP * self._calls
        return Pointmaps(wall.expand_as(result.points), torch.full_like(result.confidence, 3.0))


@dataclass(frozen=True, slots=True)
class PlausibleNetworks:
    """Both networks, with plausible points."""

    i2p: Any
    l2w: Any
    name: str
    recommended: SlamSettings


def plausible(networks: NetworkPair) -> PlausibleNetworks:
    """The same networks with plausible points."""
    i2p, l2w = _Plausible(networks.i2p, moves=False), _Plausible(networks.l2w, moves=True)
    return PlausibleNetworks(i2p, l2w, networks.name, networks.recommended)


@dataclass(frozen=True, slots=True)
class Stream:
    """What is streamed."""

    config: NetworkConfig
    precision: str
    device: str
    buffer_size: int
    shortlist: int = 0
    graphs: bool = True
    """On a GPU: with CUDA graphs."""
    ahead: bool = False
    """Another thread encodes the next frame meanwhile, as in the node."""

    def slam(self) -> Slam:
        """The engine, warm: published windows and buffer, lookahead 0, every frame a round."""
        _free()
        networks = random_networks(self.config, self.device, PRECISIONS[self.precision])
        pair = plausible(with_cuda_graphs(networks) if self.graphs else networks)
        settings = SlamSettings.published().with_values(
            {"window.stride": 1, "window.lookahead": 0, "register.shortlist": self.shortlist,
             "keyframes.buffer_size": self.buffer_size, "map.point_confidence": 0.0}
        )  # fmt: skip
        if networks.device.type == "cuda":
            warm_up(pair, settings, CAMERA_QUEUE)
        return Slam(pair, settings)

    @property
    def is_on_gpu(self) -> bool:
        """Whether there is device memory to speak of."""
        return self.device.startswith("cuda")


@dataclass(frozen=True, slots=True)
class Latency:
    """Frames pushed one by one through the whole engine, pose and map included, with a full buffer."""

    stream: Stream
    p50_ms: float
    p95_ms: float
    frames_per_second: float
    peak_memory_mib: float
    """Of torch's tensors on the GPU, weights included, once they are loaded; 0 without one."""
    device_memory_mib: float
    """Of the GPU in use at the end, all that is on it: driver, libraries and graphs included."""
    waits: dict[str, int]
    """Calls in one push that made the program wait for the GPU, by file and line, beside the copies waited for on
    purpose (by their events, which torch does not count): there should be none."""
    stage_ms: dict[str, float]


def camera_images(count: int = 20) -> list[NDArray[np.uint8]]:
    """(480, 640, 3) each."""
    return [random_image(number) for number in range(count)]


def measure_latency(stream: Stream, frames: int) -> Latency:
    """A frame at a time, as fast as it goes, after those that fill the buffer."""
    slam, images, times_ms = stream.slam(), camera_images(), []
    fill = stream.buffer_size + 10
    if stream.is_on_gpu:
        torch.cuda.reset_peak_memory_stats(stream.device)
    encoder, raw = slam.encoder, (Frame(n, images[n % len(images)]) for n in range(fill + frames))
    given: Iterable[Frame | PreparedFrame | EncodedAhead] = raw
    if stream.ahead:
        given = prefetched((encoder.encode_ahead(encoder.prepare(frame)) for frame in raw), 1)
    started = time.perf_counter()
    for frame in given:
        slam.push(frame)
        times_ms.append((time.perf_counter() - started) * 1e3)
        started = time.perf_counter()
    stage_ms = slam.status().stage_ms
    waits: Counter[str] = Counter()
    with waits_of(stream, waits):
        slam.push(Frame(fill + frames, images[0]))
    timed = np.array(times_ms[fill:])
    return Latency(
        stream=stream,
        p50_ms=float(np.median(timed)),
        p95_ms=float(np.percentile(timed, 95)),
        frames_per_second=1e3 / float(timed.mean()),
        peak_memory_mib=torch.cuda.max_memory_allocated(stream.device) / 2**20 if stream.is_on_gpu else 0.0,
        device_memory_mib=_device_memory_mib(stream),
        waits=dict(waits),
        stage_ms=stage_ms,
    )


@contextmanager
def waits_of(stream: Stream, waits: Counter[str]) -> Iterator[None]:
    """Count where the body waits for the GPU."""
    if not stream.is_on_gpu:
        yield
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for warning in caught:
        if "synchronizing" in str(warning.message):
            waits[f"{Path(warning.filename).name}:{warning.lineno}"] += 1


def latency_table(latencies: Sequence[Latency]) -> list[str]:
    """Markdown."""
    stages = ("encode", "i2p", "retrieval", "l2w", "pose", "keyframes", "map")
    lines = [
        "**Whole engine, frame by frame** (640 x 480, stride 1, lookahead 0, full buffer; the networks' points are "
        "replaced by a wall's, so that pose and map do what they do in life; a stage that waits for the GPU has the "
        "time of those before it that did not)",
        "",
        "| precision | shortlist | CUDA graphs | encoded ahead | p50 ms | p95 ms | frames/s | peak MiB | device MiB "
        f"| hidden waits a frame | {' | '.join(stages)} |",
        "|---" * (10 + len(stages)) + "|",
    ]
    for each in latencies:
        stage_ms = " | ".join(f"{each.stage_ms.get(stage, 0):.2f}" for stage in stages)
        stream = each.stream
        graphs = "yes" if stream.graphs and stream.is_on_gpu else "no"
        lines.append(
            f"| {stream.precision} | {stream.shortlist or 'none'} | {graphs} | {'yes' if stream.ahead else 'no'} "
            f"| {each.p50_ms:.1f} | {each.p95_ms:.1f} | {each.frames_per_second:.1f} | {each.peak_memory_mib:.0f} "
            f"| {each.device_memory_mib:.0f} | {sum(each.waits.values())} | {stage_ms} |"
        )
    waits = sum((Counter(each.waits) for each in latencies), Counter())
    if waits:
        lines += [
            "",
            "Hidden waits, over all rows: " + ", ".join(f"{where} x {count}" for where, count in waits.items()),
        ]
    return lines


@dataclass(frozen=True, slots=True)
class Live:
    """A camera that does not wait for the engine."""

    stream: Stream
    rate_hz: float
    images: int
    """That the camera took."""
    dropped: int
    p50_ms: float
    """From the image to the answer."""
    p95_ms: float
    p99_ms: float


@dataclass(slots=True)
class _Camera:
    """Takes images at a rate, in a thread of its own, and keeps the newest."""

    rate_hz: float
    images: list[NDArray[np.uint8]]
    waiting: deque[Frame] = field(default_factory=lambda: deque(maxlen=CAMERA_QUEUE))
    arrived: Event = field(default_factory=Event)
    taken: int = 0
    dropped: int = 0

    def run(self, seconds: float) -> None:
        """Until so many seconds have passed."""
        started = time.perf_counter()
        for number in range(int(seconds * self.rate_hz)):
            time.sleep(max(0.0, started + number / self.rate_hz - time.perf_counter()))
            self.dropped += len(self.waiting) == CAMERA_QUEUE
            self.waiting.append(Frame(time.perf_counter_ns(), self.images[number % len(self.images)]))
            self.taken += 1
            self.arrived.set()


def measure_live(stream: Stream, rate_hz: float, seconds: float) -> Live:
    """What the node's worker does: all images that wait are pushed together, and a full queue drops the oldest."""
    slam, camera, latencies_ms = stream.slam(), _Camera(rate_hz, camera_images()), []
    for number in range(stream.buffer_size + 10):
        slam.push(Frame(number, camera.images[number % len(camera.images)]))
    thread = Thread(target=camera.run, args=(seconds,), daemon=True)
    thread.start()
    while thread.is_alive() or camera.waiting:
        if not camera.arrived.wait(0.05):
            continue
        camera.arrived.clear()
        frames = [camera.waiting.popleft() for _ in range(len(camera.waiting))]
        for update in slam.push(*frames):
            if not isinstance(update, MapCorrection | KeyframeView | MappedPlace):
                latencies_ms.append((time.perf_counter_ns() - update.header.stamp_ns) * 1e-6)
    thread.join()
    p50, p95, p99 = (float(np.percentile(latencies_ms, share)) for share in (50, 95, 99))
    return Live(stream, rate_hz, camera.taken, camera.dropped, p50, p95, p99)


def live_table(lives: Sequence[Live]) -> list[str]:
    """Markdown."""
    lines = [
        "**Beside a camera** (640 x 480; a queue of the newest images and the engine as in the node, without DDS; "
        "latency from the image to its pose and points)",
        "",
        "| precision | camera Hz | images | dropped | p50 ms | p95 ms | p99 ms |",
        "|---" * 7 + "|",
    ]
    return lines + [
        f"| {live.stream.precision} | {live.rate_hz:g} | {live.images} | {live.dropped} | {live.p50_ms:.1f} "
        f"| {live.p95_ms:.1f} | {live.p99_ms:.1f} |"
        for live in lives
    ]


@dataclass(frozen=True, slots=True)
class FullMemory:
    """A stream on a GPU that has little memory left."""

    frames: int
    answered: int
    left_out: int
    keyframes: int
    warnings: tuple[str, ...]


def measure_full_memory(stream: Stream, frames: int, together: int = 10) -> FullMemory | None:
    """Ten frames at a time with `SPARE_MIB` beside the networks; None without a GPU."""
    if not stream.is_on_gpu:
        return None
    slam, images, answered = stream.slam(), camera_images(), 0
    _free()
    index = torch.device(stream.device).index
    gpu = torch.cuda.current_device() if index is None else index  # the limit wants a number
    total = torch.cuda.get_device_properties(gpu).total_memory
    allowed = torch.cuda.memory_reserved(gpu) + SPARE_MIB * 2**20
    torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total), gpu)
    try:
        for first in range(0, frames, together):
            batch = [Frame(n, images[n % len(images)]) for n in range(first, first + together)]
            answered += len(slam.push(*batch))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, gpu)
    status = slam.status()
    return FullMemory(frames, answered, status.lost_frames, status.keyframes, status.warnings)


def full_memory_lines(full: FullMemory | None) -> list[str]:
    """Markdown."""
    if full is None:
        return []
    return [
        f"**Memory nearly full** ({SPARE_MIB} MiB beside the networks, 10 frames at once): {full.answered} of "
        f"{full.frames} frames answered, {full.left_out} left out or lost, {full.keyframes} keyframes kept",
        *(f"- {text}" for text in full.warnings),
    ]


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _device_memory_mib(stream: Stream) -> float:
    if not stream.is_on_gpu:
        return 0.0
    free, total = torch.cuda.mem_get_info(stream.device)
    return (total - free) / 2**20

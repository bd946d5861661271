"""The long run: are the last thousand of ten thousand frames as fast as the first, in as little memory?"""

from __future__ import annotations

import gc
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from slam3r_lab.benchmarks.machine import ROOT
from slam3r_lab.benchmarks.random_networks import random_networks
from slam3r_lab.worlds.paths.choose import PathSettings
from slam3r_lab.worlds.sequence_files import render_sequence, write_sequence
from slam3r_ros.engine.slam import Slam
from slam3r_ros.io.sources import open_source
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.cpu import prepare_process
from slam3r_ros.networks.weights import load_networks
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame

SEED = 20_011
RATE_HZ = 10.0
VIDEO_FRAMES = 600
FRAME_PERIOD_NS = 33_333_333
TIME_TARGET, MEMORY_TARGET = 1.1, 1.05


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some thousand frames."""

    first: int
    frames: int
    median_ms: float
    """Milliseconds of processor time of a frame."""
    mean_ms: float
    p95_ms: float
    wall_ms: float
    """Mean milliseconds of a frame by the clock on the wall, which other processes lengthen."""
    memory_mib: float
    """Resident memory of the process at the end."""
    tensors_mib: float
    """Of it, tensors."""
    map_points: int
    keyframes: int
    tracked: int
    """Poses in the trajectory at the end."""


def long_run(slam: Slam, images: Iterator[np.ndarray], frames: int, stretch: int) -> list[Stretch]:
    """Push so many images; one Stretch for every ``stretch`` of them."""
    stretches = []
    for first in tqdm(range(0, frames, stretch), desc="long run", unit="stretch", file=sys.stderr):
        times_ms, started = [], time.perf_counter()
        for number in range(first, first + stretch):
            frame = Frame(number * FRAME_PERIOD_NS, next(images))
            before = time.process_time()
            slam.push(frame)
            times_ms.append((time.process_time() - before) * 1e3)
        wall_ms = (time.perf_counter() - started) * 1e3 / stretch
        gc.collect()
        status = slam.status()
        stretches.append(
            Stretch(
                first, stretch, float(np.median(times_ms)), float(np.mean(times_ms)),
                float(np.percentile(times_ms, 95)), wall_ms, resident_bytes() / 2**20, tensor_bytes() / 2**20,
                status.map_points, status.keyframes, len(slam.trajectory()),
            )
        )  # fmt: skip
    return stretches


def resident_bytes() -> int:
    """Memory of this process that is in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def tensor_bytes() -> int:
    """Bytes of all tensors alive, each storage once."""
    storages = {}
    for thing in gc.get_objects():
        if type(thing) is torch.Tensor:
            storage = thing.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def rendered_images(directory: Path, frames: int = VIDEO_FRAMES) -> list[np.ndarray]:
    """A video of a rendered room; rendered into ``directory`` if that is empty."""
    if not (directory / "rgb").is_dir():
        write_sequence(render_sequence(SEED, PathSettings(frames, RATE_HZ), (320, 240)), RATE_HZ, directory)
    with open_source(str(directory)) as source:
        return [frame.image for frame in source]


def to_and_fro(images: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Images of a video played forwards and backwards for ever."""
    return itertools.cycle([*images, *reversed(images[1:-1])])


def embedded_slam() -> Slam:
    """The embedded weights with the node's settings."""
    return Slam(load_networks("embedded", device="cpu"))


def published_shapes_slam() -> Slam:
    """The published program's windows, scene frames, buffer, image and tokens; few narrow layers, random weights.

    Every frame is a round (stride 1), waits for no later one, and may enter the buffer.
    """
    narrow = NetworkConfig(
        encoder_width=16, encoder_depth=1, encoder_heads=1, decoder_width=16, decoder_depth=2, decoder_heads=1
    )
    networks = random_networks(narrow)
    settings = SlamSettings.published().with_values(
        {"window.stride": 1, "window.lookahead": 0, "register.shortlist": 30, "map.point_confidence": 0.0}
    )
    return Slam(networks, settings)


RUNS = {"embedded weights, node's settings": embedded_slam, "published shapes, narrow": published_shapes_slam}


def measure(title: str, frames: int, stretch: int, video: Path | None = None) -> list[Stretch]:
    """One of the `RUNS`, best in a process of its own."""
    torch.set_num_threads(1)  # so that processor time is the time of a frame
    with tempfile.TemporaryDirectory() as directory:
        images = rendered_images(video or Path(directory))
    return long_run(RUNS[title](), to_and_fro(images), frames, stretch)


def ratios(stretches: Sequence[Stretch]) -> tuple[float, float]:
    """Time and memory of the last stretch over the first."""
    first, last = stretches[0], stretches[-1]
    return last.mean_ms / first.mean_ms, last.memory_mib / first.memory_mib


def long_run_table(title: str, stretches: Sequence[Stretch]) -> list[str]:
    """Markdown."""
    time_ratio, memory_ratio = ratios(stretches)
    names = ("frames", "ms mean", "ms median", "ms p95", "wall ms", "memory MiB", "tensors MiB", "map points",
             "keyframes", "poses")  # fmt: skip
    lines = [f"**Long run, {title}**: last over first stretch: time {time_ratio:.3f} (target {TIME_TARGET}), "
             f"memory {memory_ratio:.3f} (target {MEMORY_TARGET})", "",
             "| " + " | ".join(names) + " |", "|---" * len(names) + "|"]  # fmt: skip
    for s in stretches:
        lines.append(
            f"| {s.first} to {s.first + s.frames - 1} | {s.mean_ms:.2f} | {s.median_ms:.2f} | {s.p95_ms:.2f} "
            f"| {s.wall_ms:.2f} | {s.memory_mib:.0f} | {s.tensors_mib:.1f} | {s.map_points} | {s.keyframes} "
            f"| {s.tracked} |"
        )
    return lines


def in_a_process_of_its_own(title: str, frames: int, stretch: int, video: Path | None = None) -> list[Stretch]:
    """`measure` in a new process, whose memory holds nothing else; raises CalledProcessError if it fails."""
    command = [sys.executable, "-m", "slam3r_lab.benchmarks.long_run", title, str(frames), str(stretch)]
    command += [str(video)] if video else []
    answer = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [Stretch(**values) for values in json.loads(answer.splitlines()[-1])]


if __name__ == "__main__":
    prepare_process()  # the threads' setting comes with the environment
    _title, _frames, _stretch, *_video = sys.argv[1:]
    _stretches = measure(_title, int(_frames), int(_stretch), Path(_video[0]) if _video else None)
    print(json.dumps([asdict(each) for each in _stretches]))

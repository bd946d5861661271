"""Everything that a GPU is needed for, in one Markdown table: ``make bench-gpu``, under eight minutes.

Needs torch, numpy, opencv, pillow, pyyaml, safetensors and tqdm; no ROS and no ``make setup``. ``--device cpu --tiny``
does the same with tiny networks, to see that it works.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

NEEDED = {"torch": "torch", "numpy": "numpy", "cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml",
          "safetensors": "safetensors", "tqdm": "tqdm"}  # fmt: skip
if _missing := [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]:
    sys.exit(f"bench-gpu: missing {', '.join(_missing)}: pip install {' '.join(_missing)}")

from slam3r_ros.networks.cpu import prepare_process  # noqa: E402

prepare_process()

import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks.machine import ROOT, measure_ceilings  # noqa: E402
from benchmarks.operations import ONE_BY_ONE, PUBLISHED, Workload  # noqa: E402
from benchmarks.precision import compare_precisions  # noqa: E402
from benchmarks.random_networks import published_config, random_networks  # noqa: E402
from benchmarks.ratio import ENGINE, FROM_SCRATCH, SHORTLIST, TOKENS_KEPT, compare, comparison_table  # noqa: E402
from benchmarks.report import Report, write  # noqa: E402
from benchmarks.scene import random_image  # noqa: E402
from benchmarks.stages import TimeBox, measure_stages, stage_table  # noqa: E402
from slam3r_ros.engine.settings import SlamSettings  # noqa: E402
from slam3r_ros.engine.slam import Slam  # noqa: E402
from slam3r_ros.engine.types import Frame  # noqa: E402
from slam3r_ros.networks.config import NetworkConfig  # noqa: E402
from slam3r_ros.networks.weights import PRECISIONS, choose_device  # noqa: E402
from slam3r_ros.tools.parity import compare as compare_with_golden  # noqa: E402

GOLDEN = ROOT / "test" / "data" / "golden"
TINY = NetworkConfig(image_size=(32, 32), encoder_width=16, encoder_depth=1, encoder_heads=2, decoder_width=16,
                     decoder_depth=2, decoder_heads=2)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    config: NetworkConfig
    buffer_size: int
    shortlist: int
    rounds: int
    frames: int
    """Timed through the whole engine, after those that fill the buffer."""

    def load(self, load: Workload) -> Workload:
        """A published workload with this buffer."""
        return replace(load, buffer_size=self.buffer_size, shortlist=self.shortlist)


FULL = Size(published_config(), buffer_size=100, shortlist=30, rounds=5, frames=200)
SMALL = Size(TINY, buffer_size=12, shortlist=10, rounds=1, frames=5)


@dataclass(frozen=True, slots=True)
class Latency:
    """Frames pushed one by one through the whole engine, pose and map included, with a full buffer."""

    precision: str
    shortlist: int
    p50_ms: float
    p95_ms: float
    frames_per_second: float
    peak_memory_mib: float
    """Of the GPU, weights included; 0 without one."""
    waits: dict[str, int]
    """Calls in one push that made the program wait for the GPU, by file and line."""
    stage_ms: dict[str, float]


def measure_latency(size: Size, precision: str, shortlist: int, device: str) -> Latency:
    """Stride 1, lookahead 0, every frame a round, a retrieval and an update of the buffer."""
    networks = random_networks(size.config, device, PRECISIONS[precision])
    on = networks.device
    if on.type == "cuda":
        torch.cuda.reset_peak_memory_stats(on)
    settings = SlamSettings.published().with_values(
        {"window.stride": 1, "window.lookahead": 0, "register.shortlist": shortlist,
         "keyframes.buffer_size": size.buffer_size, "map.point_confidence": 0.0}
    )  # fmt: skip
    slam, times_ms = Slam(networks, settings), []
    images = [random_image(number) for number in range(20)]
    fill = size.buffer_size + 10
    for number in range(fill + size.frames):
        frame = Frame(number, images[number % len(images)])
        started = time.perf_counter()
        slam.push(frame)
        times_ms.append((time.perf_counter() - started) * 1e3)
    waits: Counter[str] = Counter()
    with waits_of(on, waits):
        slam.push(Frame(fill + size.frames, images[0]))
    timed = np.array(times_ms[fill:])
    return Latency(
        precision=precision,
        shortlist=shortlist,
        p50_ms=float(np.median(timed)),
        p95_ms=float(np.percentile(timed, 95)),
        frames_per_second=1e3 / float(timed.mean()),
        peak_memory_mib=torch.cuda.max_memory_allocated(on) / 2**20 if on.type == "cuda" else 0.0,
        waits=dict(waits),
        stage_ms=slam.status().stage_ms,
    )


@contextmanager
def waits_of(device: torch.device, waits: Counter[str]) -> Iterator[None]:
    """Count where the body waits for the GPU."""
    if device.type != "cuda":
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


def latency_table(latencies: list[Latency]) -> list[str]:
    """Markdown."""
    stages = ("encode", "i2p", "retrieval", "l2w", "pose", "map")
    lines = [
        "**Whole engine, frame by frame** (stride 1, lookahead 0, full buffer; poses of random points are searched for "
        "to the end)",
        "",
        f"| precision | shortlist | p50 ms | p95 ms | frames/s | peak MiB | waits a frame | {' | '.join(stages)} |",
        "|---" * (7 + len(stages)) + "|",
    ]
    for each in latencies:
        stage_ms = " | ".join(f"{each.stage_ms.get(stage, 0):.1f}" for stage in stages)
        lines.append(
            f"| {each.precision} | {each.shortlist or 'none'} | {each.p50_ms:.1f} | {each.p95_ms:.1f} "
            f"| {each.frames_per_second:.1f} | {each.peak_memory_mib:.0f} | {sum(each.waits.values())} | {stage_ms} |"
        )
    if latencies and latencies[0].waits:
        lines += ["", "Waits: " + ", ".join(f"{where} x {count}" for where, count in latencies[0].waits.items())]
    return lines


def parity_lines(device: str) -> list[str]:
    """Golden parity on the device: the worst of it in one line, and all that failed."""
    rows = list(compare_with_golden(GOLDEN, device))
    failed = [f"- FAILED {row.name}: {row.value:.3g}, allowed {row.tolerance:.0e}" for row in rows if not row.passed]
    worst = max((row.value / row.tolerance for row in rows if row.tolerance), default=0.0)
    passed = len(rows) - len(failed)
    return [f"**Golden parity on {device}**: {passed} of {len(rows)} inside; the worst at {worst:.2%} of its tolerance",
            *failed]  # fmt: skip


def measure(device: str, size: Size) -> Report:
    """Everything."""
    lines = parity_lines(device)
    values: dict[str, object] = {"parity": lines}
    for title, load in (("10 frames a round", PUBLISHED), ("1 frame a round", ONE_BY_ONE)):
        comparison = compare_precisions(
            title, size.config, size.load(load), device, rounds=size.rounds,
            ways=(FROM_SCRATCH, TOKENS_KEPT, ENGINE, SHORTLIST),
        )  # fmt: skip
        lines += ["", *comparison_table(comparison)]
        values[title] = asdict(comparison)
    networks = random_networks(size.config, device)
    if networks.device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        tf32, _ = compare("1 frame a round, float32 products in TF32", networks, size.load(ONE_BY_ONE),
                          rounds=size.rounds)  # fmt: skip
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        lines += ["", *comparison_table(tf32)]
        values["tf32"] = asdict(tf32)
    del networks
    latencies = [
        measure_latency(size, precision, shortlist, device)
        for precision in PRECISIONS
        for shortlist in (0, size.shortlist)
    ]
    lines += ["", *latency_table(latencies)]
    values["latency"] = [asdict(each) for each in latencies]
    fast = torch.float16 if choose_device(device).type == "cuda" else torch.float32  # CPUs have no products in float16
    networks = random_networks(size.config, device, fast)
    ceilings = measure_ceilings(networks.device, fast)
    costs = measure_stages(networks, size.load(PUBLISHED), TimeBox(ceilings, 2.0 if size is FULL else 0.05))
    lines += ["", *stage_table(f"{networks.i2p.dtype}, 10 frames a round", costs, ceilings)]
    values["stages"] = [asdict(cost) for cost in costs]
    return Report(lines, values)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="default: %(default)s")
    parser.add_argument("--tiny", action="store_true", help="tiny networks; nothing is written")
    given = parser.parse_args(arguments)
    if choose_device(given.device).type == "cpu":
        torch.set_num_threads(1)
    started = time.monotonic()
    report = measure(given.device, SMALL if given.tiny else FULL)
    if given.tiny:
        print("\n".join(report.lines))
    else:
        print(write("gpu", report, " ".join(["python -m benchmarks.gpu", *sys.argv[1:]])))
    print(f"{time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

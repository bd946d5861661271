"""Everything that a GPU is needed for, in one Markdown table: ``make bench-gpu``, under eight minutes.

Needs torch, numpy, scipy, opencv, pillow, pyyaml, safetensors and tqdm; no ROS and no ``make setup``.
``--device cpu --tiny`` does the same with tiny networks, to see that it works.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from dataclasses import asdict, dataclass, replace

NEEDED = {"torch": "torch", "numpy": "numpy", "scipy": "scipy", "cv2": "opencv-python-headless", "PIL": "pillow",
          "yaml": "pyyaml", "safetensors": "safetensors", "tqdm": "tqdm"}  # fmt: skip
if _missing := [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]:
    sys.exit(f"bench-gpu: missing {', '.join(_missing)}: pip install {' '.join(_missing)}")

from slam3r_ros.networks.cpu import prepare_process  # noqa: E402

prepare_process()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from slam3r_lab.benchmarks.gpu_stream import (  # noqa: E402
    Stream,
    full_memory_lines,
    latency_table,
    live_table,
    measure_full_memory,
    measure_latency,
    measure_live,
)
from slam3r_lab.benchmarks.machine import ROOT, best_seconds, measure_ceilings  # noqa: E402
from slam3r_lab.benchmarks.operations import ONE_BY_ONE, PUBLISHED, Workload  # noqa: E402
from slam3r_lab.benchmarks.precision import compare_precisions, drift_table, measure_drift  # noqa: E402
from slam3r_lab.benchmarks.random_networks import published_config, random_networks  # noqa: E402
from slam3r_lab.benchmarks.ratio import ENGINE, FROM_SCRATCH, SHORTLIST, TOKENS_KEPT, compare, comparison_table  # noqa: E402
from slam3r_lab.benchmarks.report import Report, write  # noqa: E402
from slam3r_lab.benchmarks.stages import TimeBox, measure_stages, stage_table  # noqa: E402
from slam3r_lab.evaluation.parity import compare as compare_with_golden  # noqa: E402
from slam3r_lab.training.seeds import FIRST_DEMO_SEED  # noqa: E402
from slam3r_lab.worlds.family import family_of  # noqa: E402
from slam3r_lab.worlds.paths.choose import PathSettings  # noqa: E402
from slam3r_lab.worlds.sequence_files import render_sequence  # noqa: E402
from slam3r_ros.device.host_transfer import to_device  # noqa: E402
from slam3r_ros.device.resize import DeviceResizer  # noqa: E402
from slam3r_ros.engine.encoder import resize_and_crop  # noqa: E402
from slam3r_ros.networks.attention import BACKENDS, AttentionLoad, backend_seconds, choose_backend  # noqa: E402
from slam3r_ros.networks.config import NetworkConfig  # noqa: E402
from slam3r_ros.networks.weights import PRECISIONS, choose_device  # noqa: E402

GOLDEN = ROOT / "test" / "data" / "golden"
TIME_LIMIT_S = 400.0
"""No part is begun after this; the longest takes about a minute on a data-centre GPU."""
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
    live_seconds: float
    """Of each stream beside a camera."""
    video_frames: int
    """Of the rendered video that the embedded weights map in every precision."""
    video_size: tuple[int, int]
    """(width, height)."""
    timing_seconds: float
    """For each product and copy that is timed alone; a fifth of it for each way to resize an image."""

    def load(self, load: Workload) -> Workload:
        """A published workload with this buffer."""
        return replace(load, buffer_size=self.buffer_size, shortlist=self.shortlist)


FULL = Size(published_config(), buffer_size=100, shortlist=30, rounds=5, frames=200, live_seconds=10.0,
            video_frames=120, video_size=(320, 240), timing_seconds=1.0)  # fmt: skip
SMALL = Size(TINY, buffer_size=12, shortlist=10, rounds=1, frames=3, live_seconds=0.2, video_frames=12,
             video_size=(64, 48), timing_seconds=0.02)  # fmt: skip


def parity_lines(device: str) -> list[str]:
    """Golden parity on the device: the worst of it in one line, and all that failed."""
    rows = list(compare_with_golden(GOLDEN, device))
    failed = [f"- FAILED {row.name}: {row.value:.3g}, allowed {row.tolerance:.0e}" for row in rows if not row.passed]
    worst = max((row.value / row.tolerance for row in rows if row.tolerance), default=0.0)
    passed = len(rows) - len(failed)
    return [f"**Golden parity on {device}**: {passed} of {len(rows)} inside; the worst at {worst:.2%} of its tolerance",
            *failed]  # fmt: skip


def resize_lines(device: str, budget_s: float) -> list[str]:
    """Whether images resized on the device have Pillow's grey levels, and the time of both, each measured for so many
    seconds."""
    resizer, cells = DeviceResizer((224, 224), choose_device(device)), []
    for height, width in ((480, 640), (720, 1280), (1080, 1920)):
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        on_device = to_device(image, choose_device(device))
        expected = resize_and_crop(image, (224, 224))
        same = np.array_equal(resizer.resize(on_device).permute(1, 2, 0).cpu().numpy(), expected)
        pillow_ms, device_ms = resize_times_ms(resizer, image, device, budget_s)
        verdict = "equal" if same else "FAILED: not equal"
        cells.append(f"{width} x {height}: {verdict}, Pillow {pillow_ms:.2f} ms, upload and device {device_ms:.2f} ms")
    return [f"**Resizing on {device}** against Pillow: {'; '.join(cells)}"]


def resize_times_ms(
    resizer: DeviceResizer, image: NDArray[np.uint8], device: str, budget_s: float
) -> tuple[float, float]:
    """Milliseconds of one image (H, W, 3) by Pillow, and by upload to the device and resizing there."""
    on = choose_device(device)
    pillow = best_seconds(lambda: resize_and_crop(image, (224, 224)), torch.device("cpu"), budget_s)
    uploaded = best_seconds(lambda: resizer.resize(to_device(image, on)), on, budget_s)
    return 1e3 * pillow, 1e3 * uploaded


def attention_lines(device: str, config: NetworkConfig) -> list[str]:
    """The time of every backend of attention, and which one 'auto' takes."""
    on, cells, heads = choose_device(device), [], config.decoder_heads
    for precision, dtype in PRECISIONS.items():
        load = AttentionLoad(dtype, config.token_count, heads, config.decoder_width // heads)
        times = {name: backend_seconds(name, load, on) * 1e3 for name in BACKENDS if name != "auto"}
        texts = [f"{name} {ms:.3f}" for name, ms in times.items() if ms < float("inf")]
        cells.append(f"{precision}: {', '.join(texts)}, auto: {choose_backend('auto', on, load)}")
    return [f"**Attention of 10 views, ms**: {'; '.join(cells)}"]


class Measurement:
    """All parts in order of importance; those for which no time is left are named and left out."""

    def __init__(self, device: str, size: Size) -> None:
        self._device, self._size = device, size
        self._ends = time.monotonic() + TIME_LIMIT_S
        self.lines: list[str] = []
        self.values: dict[str, object] = {}

    def run(self) -> Report:
        """Everything."""
        for part in (
            self._parity,
            self._streams,
            self._live,
            self._ratios,
            self._drift,
            self._full_memory,
            self._stages,
            self._tf32,
        ):
            started = time.monotonic()
            if started > self._ends:
                self.lines += ["", f"Left out for lack of time: {part.__name__.strip('_')}"]
                continue
            part()
            print(f"{part.__name__.strip('_')}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        return Report(self.lines, self.values)

    def _parity(self) -> None:
        lines = [*parity_lines(self._device), *resize_lines(self._device, self._size.timing_seconds / 5)]
        lines += attention_lines(self._device, self._size.config)
        self.lines += lines
        self.values["parity"] = lines

    def _stream(self, precision: str, shortlist: int = 0, graphs: bool = True, ahead: bool = False) -> Stream:
        size = self._size
        return Stream(size.config, precision, self._device, size.buffer_size, shortlist, graphs, ahead)

    def _streams(self) -> None:
        rows = [
            self._stream(precision, shortlist) for precision in PRECISIONS for shortlist in (0, self._size.shortlist)
        ]
        rows += [self._stream("bfloat16", ahead=True), self._stream("bfloat16", graphs=False)]
        latencies = [measure_latency(row, self._size.frames) for row in rows]
        self.lines += ["", *latency_table(latencies)]
        self.values["latency"] = [asdict(each) for each in latencies]

    def _live(self) -> None:
        rows = [(precision, rate) for precision in ("bfloat16", "float16") for rate in (30.0, 60.0)]
        lives = [measure_live(self._stream(name), rate, self._size.live_seconds) for name, rate in rows]
        self.lines += ["", *live_table(lives)]
        self.values["live"] = [asdict(each) for each in lives]

    def _ratios(self) -> None:
        size = self._size
        for title, load in (("1 frame a round", ONE_BY_ONE), ("10 frames a round", PUBLISHED)):
            comparison = compare_precisions(
                title, size.config, size.load(load), self._device, rounds=size.rounds,
                ways=(FROM_SCRATCH, TOKENS_KEPT, ENGINE, SHORTLIST), published_in=("float32", "bfloat16"),
            )  # fmt: skip
            self.lines += ["", *comparison_table(comparison)]
            self.values[title] = asdict(comparison)

    def _drift(self) -> None:
        """What half precision changes for trained weights."""
        path, size = PathSettings(self._size.video_frames, 10.0), self._size.video_size
        on = str(choose_device(self._device))
        video = render_sequence(FIRST_DEMO_SEED, path, size, family_of("narrow"), device=on)
        drifts = measure_drift([frame.colour for frame in video], self._device)
        self.lines += ["", *drift_table(drifts)]
        self.values["drift"] = [asdict(drift) for drift in drifts]

    def _full_memory(self) -> None:
        full = measure_full_memory(self._stream("bfloat16"), 600)
        self.lines += ["", *full_memory_lines(full)]
        self.values["full memory"] = None if full is None else asdict(full)

    def _stages(self) -> None:
        """Stage by stage, waiting after each, beside what is counted."""
        fast = torch.bfloat16 if choose_device(self._device).type == "cuda" else torch.float32
        networks = random_networks(self._size.config, self._device, fast)
        ceilings = measure_ceilings(networks.device, fast, self._size.timing_seconds)
        box = TimeBox(ceilings, 2.0 if self._size is FULL else 0.05)
        costs = measure_stages(networks, self._size.load(PUBLISHED), box)
        title = f"{str(networks.i2p.dtype).removeprefix('torch.')}, 10 frames a round, no CUDA graphs"
        self.lines += ["", *stage_table(title, costs, ceilings)]
        self.values["stages"] = [asdict(cost) for cost in costs]

    def _tf32(self) -> None:
        """The same in float32 with products in TF32, which torch leaves off by default."""
        if choose_device(self._device).type != "cuda":
            return
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        try:
            networks = random_networks(self._size.config, self._device)
            tf32, _ = compare("1 frame a round, float32 products in TF32", networks, self._size.load(ONE_BY_ONE),
                              rounds=self._size.rounds)  # fmt: skip
        finally:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        self.lines += ["", *comparison_table(tf32)]
        self.values["tf32"] = asdict(tf32)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab bench gpu``."""
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--device", default="cuda", help="default: %(default)s")
    parser.add_argument("--tiny", action="store_true", help="tiny networks; nothing is written")


def main(given: argparse.Namespace) -> int:
    """Measure, print, write."""
    if choose_device(given.device).type == "cpu":
        torch.set_num_threads(1)
    started = time.monotonic()
    report = Measurement(given.device, SMALL if given.tiny else FULL).run()
    if given.tiny:
        print("\n".join(report.lines))
    else:
        print(write("gpu", report, f"python -m slam3r_lab.benchmarks.gpu --device {given.device}"))
    print(f"{time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    _parser = argparse.ArgumentParser(prog="python -m slam3r_lab.benchmarks.gpu")
    add_arguments(_parser)
    sys.exit(main(_parser.parse_args()))

"""Speed and memory on this machine: ``make bench``.

Two measurements: the embedded networks end to end, 640 x 480 images at 30 Hz over DDS into the real node (the demo);
and every network stage by itself, for the embedded networks and for networks of the published size with random
weights. The results go to ``benchmarks/results/`` under the date, as JSON and as a table.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slam3r_ros.networks.cpu import prepare_process

prepare_process()  # before torch is imported, as in the node

import torch  # noqa: E402
from stages import PUBLISHED, StageCost, Workload, measure_stages, random_networks  # noqa: E402

from slam3r_ros.engine.settings import SlamSettings  # noqa: E402
from slam3r_ros.networks.config import NetworkConfig  # noqa: E402
from slam3r_ros.networks.weights import choose_device, load_networks  # noqa: E402
from slam3r_ros.ros.settings import NodeSettings  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True, slots=True)
class Machine:
    """What was measured on."""

    processor: str
    cores: int
    memory_gib: float
    gpu: str
    python: str
    torch: str

    @classmethod
    def here(cls) -> Machine:
        """This machine."""
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return cls(
            processor=names[0] if names else platform.processor(),
            cores=os.cpu_count() or 1,
            memory_gib=round(pages / 2**30, 1),
            gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
            python=platform.python_version(),
            torch=torch.__version__,
        )


def commit() -> str:
    """The commit measured, with '+' if the tree has changes."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def measure_topic(frames: int) -> dict[str, Any]:
    """The demo's report on its rendered video of so many images; raises CalledProcessError if the demo fails."""
    out = ROOT / "demo"
    command = [sys.executable, "-m", "slam3r_ros.tools.cli", "demo", "--out", str(out), "--frames", str(frames)]
    subprocess.run(command, cwd=ROOT, check=True)
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def live_workload(settings: SlamSettings) -> Workload:
    """What settings, every value decided, ask of each stage."""
    return Workload(
        radius=settings.window.radius,
        past_only=settings.window.lookahead == 0,
        scene_frames=settings.register.scene_frames,
        together=1,
        buffer_size=settings.keyframes.buffer_size,
    )


def measure_embedded(device: str) -> list[StageCost]:
    """Stages of the embedded networks as the node runs them."""
    torch.set_num_threads(NodeSettings().threads or torch.get_num_threads())
    networks = load_networks("embedded", device=device)
    return measure_stages(networks, live_workload(SlamSettings().resolved(networks.recommended)), repetitions=30)


def measure_published(device: str) -> list[StageCost]:
    """Stages of networks of the published size; one repetition on a CPU, which takes seconds for each."""
    torch.set_num_threads(os.cpu_count() or 1)
    on_cuda = choose_device(device).type == "cuda"
    dtype = torch.float16 if on_cuda else torch.float32
    networks = random_networks(NetworkConfig(), NetworkConfig(need_encoder=False), device, dtype)
    return measure_stages(networks, PUBLISHED, repetitions=20 if on_cuda else 1)


def topic_table(report: dict[str, Any]) -> list[str]:
    """The demo's figures as Markdown."""
    rows = [f"| {name.replace('_', ' ')} | {value:.4g} |" for name, value in report.items() if _is_number(value)]
    return ["| 640 x 480 at 30 Hz over DDS, embedded networks | |", "|---|---|", *rows]


def stage_table(title: str, costs: Sequence[StageCost]) -> list[str]:
    """Stage costs as Markdown."""
    rows = [
        f"| {cost.stage} | {cost.per_call_ms:.1f} | {cost.per_frame_ms:.1f} | {cost.added_memory_mib:.0f} |"
        for cost in costs
    ]
    return [f"| {title} | ms a call | ms a frame | memory added, MiB |", "|---|---|---|---|", *rows]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="for the stages (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=300, help="images of the video (default: %(default)s)")
    parser.add_argument("--skip", nargs="*", default=[], choices=("topic", "embedded", "published"))
    arguments = parser.parse_args()
    today, machine = datetime.date.today().isoformat(), Machine.here()
    command = " ".join(["make bench", *([f'ARGS="{" ".join(sys.argv[1:])}"'] if sys.argv[1:] else [])])
    lines = [
        f"# {today}, commit {commit()}",
        "",
        f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB, GPU: {machine.gpu}, "
        f"Python {machine.python}, torch {machine.torch}; `{command}`",
    ]
    results: dict[str, Any] = {"date": today, "commit": commit(), "command": command, "machine": asdict(machine)}
    if "topic" not in arguments.skip:
        results["topic"] = measure_topic(arguments.frames)
        lines += ["", *topic_table(results["topic"])]
    for name, title, measure in (
        ("embedded", "embedded networks, node's settings", measure_embedded),
        ("published", "published size, random weights, published settings", measure_published),
    ):
        if name not in arguments.skip:
            costs = measure(arguments.device)
            results[name] = [asdict(cost) for cost in costs]
            lines += ["", *stage_table(title, costs)]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{today}.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / f"{today}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())

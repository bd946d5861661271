"""Time and error against size of the networks; the table goes to ``slam3r_lab/benchmarks/sizes.md``.

Networks with random weights, one frame after the other through the stages as the node runs them with the embedded
weights' settings. How accurate a size is takes hours of training: the error is that of the logs in
``slam3r_lab/benchmarks/training``, for the sizes that were trained.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from slam3r_lab.benchmarks.learning_curves import FOLDER as LOGS
from slam3r_lab.benchmarks.machine import BENCHMARKS, measure_ceilings
from slam3r_lab.benchmarks.operations import Workload
from slam3r_lab.benchmarks.random_networks import random_networks
from slam3r_lab.benchmarks.report import command_line_of_this_run
from slam3r_lab.benchmarks.run import live_workload
from slam3r_lab.benchmarks.stages import TimeBox, measure_stages
from slam3r_lab.evaluation.machine import commit_of_code, this_machine
from slam3r_lab.training.embedded_config import EMBEDDED_DEEP_I2P, EMBEDDED_I2P, EMBEDDED_LARGE_I2P
from slam3r_ros.io.files import replacing
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.hub import find_weights
from slam3r_ros.networks.weights import load_networks
from slam3r_ros.settings import SlamSettings

WIDE_AND_DEEP = replace(
    EMBEDDED_I2P,
    image_size=(160, 160),
    encoder_width=320,
    encoder_depth=7,
    encoder_heads=5,
    decoder_width=192,
    decoder_depth=5,
    decoder_heads=6,
)
SIZES: Mapping[str, NetworkConfig] = {
    "smaller": replace(
        EMBEDDED_I2P, encoder_width=128, encoder_depth=4, encoder_heads=4, decoder_width=96, decoder_heads=3
    ),
    "embedded, images of 96": replace(EMBEDDED_I2P, image_size=(96, 96)),
    "embedded": EMBEDDED_I2P,
    "embedded, images of 160": replace(EMBEDDED_I2P, image_size=(160, 160)),
    "embedded, images of 224": replace(EMBEDDED_I2P, image_size=(224, 224)),
    "embedded-large": EMBEDDED_LARGE_I2P,
    "wider": replace(EMBEDDED_I2P, encoder_width=256, encoder_heads=8, decoder_width=192, decoder_heads=6),
    "deeper": EMBEDDED_DEEP_I2P,
    "wide and deep, images of 160": WIDE_AND_DEEP,
    "wide and deep, images of 224": replace(WIDE_AND_DEEP, image_size=(224, 224)),
}
"""The sizes of I2P that are compared; L2W's follow from them."""
TRAINED = {"embedded": "augmented", "deeper": "deep", "embedded-large": "fine"}
"""The best training run of the sizes that have one: `slam3r_lab/benchmarks/training/RUN-i2p.csv`."""
STAGE_SECONDS = 1.0
FLOAT16_BYTES = 2


@dataclass(frozen=True, slots=True)
class SizeCost:
    """What one size costs."""

    name: str
    config: NetworkConfig
    parameters: tuple[int, int]
    """Of I2P and of L2W."""
    encode_ms: float
    i2p_ms: float
    retrieval_ms: float
    """Of one frame, on average over the frames between retrievals."""
    l2w_ms: float

    @property
    def frame_ms(self) -> float:
        """All networks, one frame."""
        return self.encode_ms + self.i2p_ms + self.retrieval_ms + self.l2w_ms


def measure_size(name: str, config: NetworkConfig, load: Workload, retrieval_interval: int, box: TimeBox) -> SizeCost:
    """Time of the networks' stages of one size."""
    networks = random_networks(config)
    costs = {cost.stage.split(",")[0]: cost.per_frame_ms for cost in measure_stages(networks, load, box)}
    counts = [sum(p.numel() for p in network.parameters()) for network in (networks.i2p, networks.l2w)]
    return SizeCost(
        name=name,
        config=config,
        parameters=(counts[0], counts[1]),
        encode_ms=costs["encode"],
        i2p_ms=costs["i2p"],
        retrieval_ms=costs["retrieval"] / retrieval_interval,
        l2w_ms=costs["l2w"],
    )


def trained_error(size: str) -> tuple[float, int] | None:
    """I2P's error on worlds that it was not trained on, a share of the distance, and its run's samples; None for a size
    that was not trained.
    """
    if size not in TRAINED:
        return None
    with (LOGS / f"{TRAINED[size]}-i2p.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    return float(last["point_error"]), int(last["samples"])


def _error_text(size: str) -> str:
    trained = trained_error(size)
    return "" if trained is None else f"{100 * trained[0]:.1f} ({trained[1]})"


def size_table(costs: list[SizeCost]) -> list[str]:
    """Markdown."""
    rows = []
    for cost in costs:
        c = cost.config
        rows.append(
            f"| {cost.name} | {c.image_size[0]} | {c.patch_size} | {c.grid_size[0] * c.grid_size[1]} "
            f"| {c.encoder_width} x {c.encoder_depth} | {c.decoder_width} x {c.decoder_depth} "
            f"| {cost.parameters[0] / 1e6:.1f} + {cost.parameters[1] / 1e6:.1f} "
            f"| {sum(cost.parameters) * FLOAT16_BYTES / 1e6:.0f} | {cost.encode_ms:.1f} | {cost.i2p_ms:.1f} "
            f"| {cost.retrieval_ms:.1f} | {cost.l2w_ms:.1f} | {cost.frame_ms:.1f} | {1e3 / cost.frame_ms:.0f} "
            f"| {_error_text(cost.name)} |"
        )
    return [
        "| size | image, px | patch, px | tokens | encoder, width x blocks | decoder, width x blocks "
        "| I2P + L2W, M weights | files, MB | encode, ms | I2P, ms | retrieval, ms | L2W, ms | all, ms | frames/s "
        "| I2P's error, % (samples) |",
        "|---|" + "---:|" * 14,
        *rows,
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab bench sizes``."""
    parser.description = __doc__
    parser.add_argument("--out", type=Path, default=BENCHMARKS / "sizes.md")
    parser.add_argument("--seconds", type=float, default=STAGE_SECONDS, help="for each stage (default: %(default)s)")
    parser.add_argument("--note", default="", help="a sentence on the circumstances")


def main(arguments: argparse.Namespace) -> int:
    """Measure all sizes, one after the other, and write the table."""
    torch.set_num_threads(os.cpu_count() or 1)
    settings = SlamSettings().resolved(load_networks(str(find_weights("embedded"))).recommended)
    load, interval = live_workload(settings), settings.register.retrieval_interval
    ceilings = measure_ceilings(torch.device("cpu"))
    box = TimeBox(ceilings, arguments.seconds)
    costs = [measure_size(name, config, load, interval, box) for name, config in SIZES.items()]
    lines = [
        "# Sizes of the networks: time and error",
        "",
        f"{datetime.date.today().isoformat()}, commit {commit_of_code()}, {this_machine(torch.device('cpu')).text}; "
        f"{ceilings}; "
        f"`{command_line_of_this_run()}`. {arguments.note}".rstrip(),
        "",
        f"Random weights, float32, {torch.get_num_threads()} threads, one frame at a time, milliseconds a frame "
        f"(medians): windows of {load.sources + 1} views, {load.scene_frames} scene frames, a retrieval among "
        f"{load.buffer_size} keyframes every {interval} frames. Files: float16. Resizing, pose and map come on top.",
        "",
        "I2P's error: of the distance, on worlds that it was not trained on, at the end of that size's best "
        "run (`slam3r_lab/benchmarks/training/runs.md`), whose samples came after those of the run it began with.",
        "",
        *size_table(costs),
    ]
    with replacing(arguments.out) as file:
        file.write(("\n".join(lines) + "\n").encode())
    print("\n".join(lines))
    return 0

"""Time against size of the networks: ``python -m benchmarks.sizes`` writes ``benchmarks/sizes.md``.

Networks with random weights, one frame after the other through the stages as the node runs them with the embedded
weights' settings. How accurate a size is takes hours of training; what is known of that is in ``benchmarks/training``.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from slam3r_ros.networks.cpu import prepare_process

prepare_process()  # before torch is imported, as in the node

import torch  # noqa: E402

from benchmarks.machine import ROOT, measure_ceilings  # noqa: E402
from benchmarks.operations import Workload  # noqa: E402
from benchmarks.random_networks import random_networks  # noqa: E402
from benchmarks.run import live_workload  # noqa: E402
from benchmarks.stages import TimeBox, measure_stages  # noqa: E402
from slam3r_ros.engine.settings import SlamSettings  # noqa: E402
from slam3r_ros.evaluation.machine import commit_of_code, this_machine  # noqa: E402
from slam3r_ros.io.files import replacing  # noqa: E402
from slam3r_ros.networks.config import NetworkConfig  # noqa: E402
from slam3r_ros.networks.weights import find_weights, load_networks  # noqa: E402
from slam3r_ros.training.embedded_config import EMBEDDED_DEEP_I2P, EMBEDDED_I2P, EMBEDDED_LARGE_I2P  # noqa: E402

SIZES: Mapping[str, NetworkConfig] = {
    "smaller": replace(
        EMBEDDED_I2P, encoder_width=128, encoder_depth=4, encoder_heads=4, decoder_width=96, decoder_heads=3
    ),
    "embedded, images of 96": replace(EMBEDDED_I2P, image_size=(96, 96)),
    "embedded": EMBEDDED_I2P,
    "embedded, images of 160": replace(EMBEDDED_I2P, image_size=(160, 160)),
    "embedded, images of 224": replace(EMBEDDED_I2P, image_size=(224, 224)),
    "embedded, patches of 8": replace(EMBEDDED_I2P, patch_size=8),
    "wider": replace(EMBEDDED_I2P, encoder_width=256, encoder_heads=8, decoder_width=192, decoder_heads=6),
    "deeper": EMBEDDED_DEEP_I2P,
    "embedded-large": EMBEDDED_LARGE_I2P,
    "embedded-large, images of 224": replace(EMBEDDED_LARGE_I2P, image_size=(224, 224)),
}
"""The sizes of I2P that are compared; L2W's follow from them."""
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
            f"| {cost.retrieval_ms:.1f} | {cost.l2w_ms:.1f} | {cost.frame_ms:.1f} | {1e3 / cost.frame_ms:.0f} |"
        )
    return [
        "| size | image, px | patch, px | tokens | encoder, width x blocks | decoder, width x blocks "
        "| I2P + L2W, M weights | files, MB | encode, ms | I2P, ms | retrieval, ms | L2W, ms | all, ms | frames/s |",
        "|---|" + "---:|" * 13,
        *rows,
    ]


def main() -> int:
    """Measure all sizes, one after the other, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "sizes.md")
    parser.add_argument("--seconds", type=float, default=STAGE_SECONDS, help="for each stage (default: %(default)s)")
    parser.add_argument("--note", default="", help="a sentence on the circumstances")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    settings = SlamSettings().resolved(load_networks(str(find_weights("embedded"))).recommended)
    load, interval = live_workload(settings), settings.register.retrieval_interval
    ceilings = measure_ceilings(torch.device("cpu"))
    box = TimeBox(ceilings, arguments.seconds)
    costs = [measure_size(name, config, load, interval, box) for name, config in SIZES.items()]
    lines = [
        "# Sizes of the networks: time",
        "",
        f"{datetime.date.today().isoformat()}, commit {commit_of_code()}, {this_machine(torch.device('cpu')).text}; "
        f"{ceilings}; "
        f"`python -m benchmarks.sizes`. {arguments.note}".rstrip(),
        "",
        f"Random weights, float32, {torch.get_num_threads()} threads, one frame at a time, milliseconds a frame "
        f"(medians): windows of {load.sources + 1} views, {load.scene_frames} scene frames, a retrieval among "
        f"{load.buffer_size} keyframes every {interval} frames. Files: float16. Resizing, pose and map come on top.",
        "",
        *size_table(costs),
    ]
    with replacing(arguments.out) as file:
        file.write(("\n".join(lines) + "\n").encode())
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Speed, memory and accuracy on this machine: ``make bench``, or ``slam3r_lab bench PART ...``.

Parts: ``topic`` (cameras over DDS into the real node), ``embedded`` (its networks' stages), ``published``
(stages of the published size, random weights), ``ratio`` (the engine against the published way, all sizes over 4),
``published-ratio`` (the same at the published size, one round, the engine in bfloat16 too), ``precision`` (bfloat16 and
float16), ``cpu`` (the embedded networks eager, in bfloat16 and compiled), ``retrieval`` (shortlist
against full search) and ``long`` (10,000 frames). Each part's results go to
``slam3r_lab/benchmarks/results/DATE-PART.md`` and ``.json``.

Benchmarks with options of their own, as ``slam3r_lab bench NAME --help`` lists them: ``accuracy``, ``loops``,
``covariance``, ``features``, ``dense-depth``, ``localization``, ``sessions``, ``map-file``, ``scale-drift``,
``viewer``, ``oracle``, ``sizes``, ``curves``, ``pose_graph`` and ``gpu``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch

from slam3r_lab.benchmarks.cpu_ways import measure_ways, ways_table
from slam3r_lab.benchmarks.long_run import RUNS, in_a_process_of_its_own, long_run_table, rendered_images
from slam3r_lab.benchmarks.machine import Ceilings, measure_ceilings
from slam3r_lab.benchmarks.operations import LADDER, ONE_BY_ONE, PUBLISHED, Count, Workload
from slam3r_lab.benchmarks.precision import compare_precisions, drift_table, measure_drift
from slam3r_lab.benchmarks.random_networks import published_config, random_networks
from slam3r_lab.benchmarks.ratio import WAYS, Comparison, compare, comparison_table
from slam3r_lab.benchmarks.report import Report, command_line_of_this_run, write
from slam3r_lab.benchmarks.retrieval_agreement import agreement_table, measure_agreement, measure_growth
from slam3r_lab.benchmarks.stages import StageCost, TimeBox, measure_stages, stage_table
from slam3r_lab.benchmarks.topic import CASES, SECONDS, Circumstances, as_values, measure_topic, topic_table
from slam3r_lab.worlds.paths.choose import PathSettings
from slam3r_lab.worlds.sequence_files import render_sequence, write_sequence
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.weights import load_networks
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.settings import SlamSettings

SHORTLIST = 30
ROUNDS = (("10 frames a round", PUBLISHED), ("1 frame a round", ONE_BY_ONE))
"""The published script's settings for long videos, and for short ones."""
TOPIC_SEED, TOPIC_RATE_HZ = 20002, 30.0
STAGE_SECONDS = 20.0
"""Time box of one stage of the published size."""
PRECISION_FRAMES = 90
LONG_FRAMES, LONG_STRETCH = 10_000, 1_000


def topic(arguments: argparse.Namespace) -> Report:
    """The embedded networks in the node, fed by cameras of several rates, sizes and transports."""
    with tempfile.TemporaryDirectory() as directory:
        video = arguments.video or Path(directory)
        if arguments.video is None:
            path = PathSettings(arguments.frames, TOPIC_RATE_HZ)
            write_sequence(render_sequence(TOPIC_SEED, path, (640, 480)), TOPIC_RATE_HZ, video)
        cases = [case for case in CASES if all(word in str(case).split() for word in arguments.case)]
        circumstances = Circumstances(
            tuple(arguments.parameters), arguments.busy_cores, arguments.camera_info, arguments.seconds
        )
        measured = measure_topic(video, cases, circumstances)
    return Report(topic_table(measured), as_values(measured))


def embedded(arguments: argparse.Namespace) -> Report:
    """Stages of the embedded networks as the node runs them."""
    torch.set_num_threads(NodeSettings().threads or torch.get_num_threads())
    networks = load_networks("embedded", device=arguments.device)
    ceilings = measure_ceilings(networks.device, networks.i2p.dtype)
    load = live_workload(SlamSettings().resolved(networks.recommended))
    return _stages("embedded networks, node's settings", measure_stages(networks, load, TimeBox(ceilings, 2)), ceilings)


def live_workload(settings: SlamSettings) -> Workload:
    """What settings, every value decided, ask of each stage."""
    return Workload(
        radius=settings.window.radius,
        past_only=settings.window.lookahead == 0,
        scene_frames=settings.register.scene_frames,
        together=1,
        buffer_size=settings.keyframes.buffer_size,
        shortlist=settings.register.shortlist,
    )


def published(arguments: argparse.Namespace) -> Report:
    """Stages of networks of the published size, each inside its time box."""
    torch.set_num_threads(os.cpu_count() or 1)
    networks = random_networks(NetworkConfig(), arguments.device)
    ceilings = measure_ceilings(networks.device)
    costs = measure_stages(networks, PUBLISHED, TimeBox(ceilings, STAGE_SECONDS))
    return _stages("published size, random weights, float32, published settings", costs, ceilings)


def _stages(title: str, costs: list[StageCost], ceilings: Ceilings) -> Report:
    values = {"ceilings": asdict(ceilings), "stages": [asdict(cost) for cost in costs]}
    return Report(stage_table(title, costs, ceilings), values)


def ratio(arguments: argparse.Namespace) -> Report:
    """The engine against the published way where all widths, heads and tokens are a quarter of the published ones."""
    torch.set_num_threads(os.cpu_count() or 1)
    networks = random_networks(published_config(4), arguments.device)
    comparisons = [
        compare(f"Widths, heads and tokens over 4, {title}", networks, replace(load, shortlist=SHORTLIST), rounds=3)[0]
        for title, load in ROUNDS
    ]
    return _comparisons(comparisons)


def published_ratio(arguments: argparse.Namespace) -> Report:
    """The same at the published size, float32 and the engine in bfloat16: one round each."""
    torch.set_num_threads(os.cpu_count() or 1)
    return _comparisons(
        [
            compare_precisions(
                f"Published size, {title}",
                NetworkConfig(),
                replace(load, shortlist=SHORTLIST),
                arguments.device,
                rounds=1,
                ways=WAYS,
                precisions=("float32", "bfloat16"),
            )
            for title, load in ROUNDS
        ]
    )


def _comparisons(comparisons: list[Comparison]) -> Report:
    lines = [line for comparison in comparisons for line in [*comparison_table(comparison), ""]]
    return Report([*lines, *ladder_table()], [asdict(comparison) for comparison in comparisons])


def ladder_table() -> list[str]:
    """Counted on paper at the published size: what each saving saves of a frame's operations."""
    loads = [replace(load, shortlist=SHORTLIST) for load in (PUBLISHED, ONE_BY_ONE)]
    lines = [
        "**Counted, published size, buffer of 100** (GFLOP a frame; times less than the first row)",
        "",
        "| | 10 frames a round | | 1 frame a round | |",
        "|---" * 5 + "|",
    ]
    first: list[float] = []
    for name, savings in LADDER:
        counted = [Count(NetworkConfig(), savings).frame(load).operations / 1e9 for load in loads]
        first = first or counted
        cells = [f"{value:.0f} | {start / value:.2f}" for value, start in zip(counted, first, strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def precision(arguments: argparse.Namespace) -> Report:
    """What float32, bfloat16 and float16 cost and change: all sizes over 4, and the embedded weights on a video."""
    torch.set_num_threads(os.cpu_count() or 1)
    title = "Widths, heads and tokens over 4, 1 frame a round"
    comparison = compare_precisions(title, published_config(4), ONE_BY_ONE, arguments.device)
    with tempfile.TemporaryDirectory() as directory:
        images = rendered_images(arguments.video or Path(directory), PRECISION_FRAMES)[:PRECISION_FRAMES]
    drifts = measure_drift(images, arguments.device)
    values = {"comparison": asdict(comparison), "drift": [asdict(drift) for drift in drifts]}
    return Report([*comparison_table(comparison), "", *drift_table(drifts)], values)


def cpu(arguments: argparse.Namespace) -> Report:
    """Ways to run the embedded networks on the CPU, with the node's threads."""
    torch.set_num_threads(NodeSettings().threads or torch.get_num_threads())
    with tempfile.TemporaryDirectory() as directory:
        images = rendered_images(arguments.video or Path(directory), PRECISION_FRAMES)[:PRECISION_FRAMES]
    costs = measure_ways(images)
    return Report(ways_table(costs, len(images)), [asdict(cost) for cost in costs])


def retrieval(arguments: argparse.Namespace) -> Report:
    """Shortlist against full search, with the embedded networks on a rendered video."""
    torch.set_num_threads(1)
    networks = load_networks("embedded", device=arguments.device)
    with tempfile.TemporaryDirectory() as directory:
        images = rendered_images(arguments.video or Path(directory), 450)[:450]
    pairs = [(4, 12), (4, 20), (4, 30), (10, 20), (10, 30), (10, 40)]
    agreements = measure_agreement(networks, images, 100, pairs)
    growth = measure_growth(networks, (12, 50, 100, 200, 400), 10, SHORTLIST)
    values = {"agreement": [asdict(a) for a in agreements], "growth": [asdict(g) for g in growth]}
    return Report(agreement_table(agreements, growth), values)


def long(arguments: argparse.Namespace) -> Report:
    """Both long runs, each in a process of its own."""
    runs = {title: in_a_process_of_its_own(title, LONG_FRAMES, LONG_STRETCH, arguments.video) for title in RUNS}
    lines = [line for title, stretches in runs.items() for line in [*long_run_table(title, stretches), ""]]
    return Report(lines, {title: [asdict(s) for s in stretches] for title, stretches in runs.items()})


PARTS: dict[str, Callable[[argparse.Namespace], Report]] = {
    "topic": topic,
    "embedded": embedded,
    "published": published,
    "ratio": ratio,
    "published-ratio": published_ratio,
    "precision": precision,
    "cpu": cpu,
    "retrieval": retrieval,
    "long": long,
}
DEFAULT = ("topic", "embedded", "published", "ratio")


def part(text: str) -> str:
    """The name of a part; raises argparse.ArgumentTypeError for another text."""
    if text not in PARTS:
        raise argparse.ArgumentTypeError(f"unknown part '{text}'; choose of {', '.join(PARTS)}")
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab bench``."""
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "parts", nargs="*", type=part, metavar="PART", help=f"of {', '.join(PARTS)}; {', '.join(DEFAULT)} if none"
    )
    parser.add_argument("--device", default="auto", help="for the networks (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=300, help="images of the topic's video (default: %(default)s)")
    parser.add_argument("--video", type=Path, help="directory of images for topic, retrieval and long, else rendered")
    parser.add_argument(
        "--case",
        action="append",
        default=[],
        metavar="WORD",
        help="of topic's cameras those with this word only: raw, compressed, 640x480, 1920x1080, 20, 30, 60",
    )
    parser.add_argument(
        "-p", dest="parameters", action="append", default=[], metavar="NAME:=VALUE", help="parameter of topic's node"
    )
    parser.add_argument(
        "--busy-cores",
        type=int,
        default=0,
        metavar="N",
        help="run N processes beside topic's node that compute without end (default: %(default)s)",
    )
    parser.add_argument("--camera-info", action="store_true", help="topic's camera publishes the video's intrinsics")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="of images in each of topic's cases (default: %(default)s)"
    )


def main(arguments: argparse.Namespace) -> int:
    """Measure, print, write."""
    for name in arguments.parts or DEFAULT:
        full_name = "-".join([name, *(arguments.case if name == "topic" else [])])
        print(write(full_name, PARTS[name](arguments), command_line_of_this_run()), flush=True)
    return 0

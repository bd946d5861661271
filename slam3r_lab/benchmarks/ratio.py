"""Frames a second of the engine against the published way: same weights, same scene, same run, same results."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, replace

import torch

from slam3r_lab.benchmarks.engine_way import EngineWay
from slam3r_lab.benchmarks.machine import synchronize
from slam3r_lab.benchmarks.operations import EVERY_SAVING, Count, Savings, Workload
from slam3r_lab.benchmarks.published_way import PublishedWay
from slam3r_lab.benchmarks.scene import RoundResult, Scene, make_scene, warm_up
from slam3r_ros.networks.graph_capture import TUNING, with_cuda_graphs
from slam3r_ros.networks.weights import Networks

STAGES = ("encode", "i2p", "retrieval", "l2w")
ENGINE = "engine"
SHORTLIST = "engine with a shortlist"
TOKENS_KEPT = "published way, each frame encoded once"
FROM_SCRATCH = "published way, nothing kept between windows"
_SAVINGS = {
    FROM_SCRATCH: Savings(),
    TOKENS_KEPT: Savings(encode_once=True),
    ENGINE: replace(EVERY_SAVING, shortlist=False),
    SHORTLIST: EVERY_SAVING,
}
WAYS = tuple(_SAVINGS)


@dataclass(frozen=True, slots=True)
class Speed:
    """What one way of doing it costs."""

    way: str
    precision: str
    frame_ms: float
    """Best round's milliseconds a frame."""
    stage_ms: dict[str, float]
    """Milliseconds a frame by stage; on a GPU only of those that wait for the device after each stage."""
    counted_gflop: float
    """Operations of a frame, in 1e9."""
    error: float
    """Relative difference of the world points from those of the published way."""
    same_scene_frames: bool
    """Whether retrieval chose what it chooses in the published way."""
    memory_mib: float
    """Peak memory of the GPU, weights included; 0 without one."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All ways on one scene."""

    title: str
    rounds: int
    speeds: tuple[Speed, ...]


def compare(
    title: str,
    networks: Networks,
    load: Workload,
    *,
    rounds: int = 3,
    ways: tuple[str, ...] = WAYS,
    expected: RoundResult | None = None,
) -> tuple[Comparison, RoundResult]:
    """Time ``rounds`` rounds of every way, in turn, after one that is not timed (if only one: after one decoder layer).

    Results are compared with ``expected``, or with those of the first way, which are returned too.
    """
    scene = make_scene(networks.i2p, load)
    warm_up(networks, scene)
    programs = {way: _program(way, networks, load, scene) for way in WAYS if way in ways}
    for program in programs.values():
        _record(program, scene, networks.device)
    times: dict[str, list[float]] = {way: [] for way in programs}
    results: dict[str, RoundResult] = {}
    memory: dict[str, float] = {}
    for _ in range(rounds + (rounds > 1)):
        for way, program in reversed(programs.items()):  # what is cold at the start slows the engine
            memory[way], times_of = _reset_memory(networks.device), times[way]
            started = time.perf_counter()
            results[way] = program.round(scene)
            synchronize(networks.device)
            times_of.append((time.perf_counter() - started) * 1e3 / load.together)
            memory[way] = _peak_memory_mib(networks.device)
    reference = expected or results[next(iter(programs))]
    speeds = tuple(
        Speed(
            way=way,
            precision=str(networks.i2p.dtype).removeprefix("torch."),
            frame_ms=min(times[way][rounds > 1 :]),
            stage_ms=program.clock.average_ms(),
            counted_gflop=Count(networks.i2p.config, _SAVINGS[way]).frame(load).operations / 1e9,
            error=relative_error(results[way], reference),
            same_scene_frames=set(results[way].chosen) == set(reference.chosen),
            memory_mib=memory[way],
        )
        for way, program in programs.items()
    )
    return Comparison(title, rounds, speeds), reference


def relative_error(got: RoundResult, expected: RoundResult) -> float:
    """|difference| / |expected| of the world points."""
    wanted = expected.points_world.double()
    return float(torch.linalg.norm(got.points_world.double() - wanted) / torch.linalg.norm(wanted))


def _record(program: EngineWay | PublishedWay, scene: Scene, device: torch.device) -> None:
    """On a GPU: rounds until the engine's work is captured in CUDA graphs."""
    if device.type == "cuda" and isinstance(program, EngineWay):
        for _ in range(TUNING.calls_before_capture + 1):
            program.round(scene)


def _program(way: str, networks: Networks, load: Workload, scene: Scene) -> EngineWay | PublishedWay:
    if way == ENGINE:
        load = replace(load, shortlist=0)
    if way not in (FROM_SCRATCH, TOKENS_KEPT):
        return EngineWay(with_cuda_graphs(networks), 1.5, load, scene)
    return PublishedWay(networks, 1.5, load.scene_frames, encode_once=way == TOKENS_KEPT)


def _reset_memory(device: torch.device) -> float:
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    return 0.0


def _peak_memory_mib(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0


def comparison_table(comparison: Comparison) -> list[str]:
    """Markdown."""
    columns = [
        "ms a frame",
        *STAGES,
        "frames/s",
        "GFLOP counted",
        "GFLOP/s",
        "relative error",
        "same scene",
        "ratio",
        "alike precision",
        "counted",
    ]
    lines = [
        f"**{comparison.title}** (best of {comparison.rounds})",
        "",
        f"| | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
    ]
    first, base_ms = comparison.speeds[0], {s.precision: s.frame_ms for s in comparison.speeds if s.way == FROM_SCRATCH}
    for speed in comparison.speeds:
        stages = " | ".join(_ms(speed.stage_ms.get(stage, 0)) for stage in STAGES)
        alike = f"{base_ms[speed.precision] / speed.frame_ms:.2f}" if speed.precision in base_ms else "-"
        lines.append(
            f"| {speed.way}, {speed.precision} | {_ms(speed.frame_ms)} | {stages} | {1e3 / speed.frame_ms:.3g} "
            f"| {speed.counted_gflop:.1f} | {speed.counted_gflop / speed.frame_ms * 1e3:.0f} "
            f"| {speed.error:.1e} | {'yes' if speed.same_scene_frames else 'no'} "
            f"| {first.frame_ms / speed.frame_ms:.2f} | {alike} | {first.counted_gflop / speed.counted_gflop:.2f} |"
        )
    return lines


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"

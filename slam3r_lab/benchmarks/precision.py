"""What computing in bfloat16 or float16 costs and changes (heads and point embedding stay in float32)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from slam3r_lab.benchmarks.operations import Workload
from slam3r_lab.benchmarks.random_networks import random_networks
from slam3r_lab.benchmarks.ratio import ENGINE, FROM_SCRATCH, TOKENS_KEPT, Comparison, compare
from slam3r_ros.engine.events import map_updates
from slam3r_ros.engine.slam import Slam
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.weights import PRECISIONS, load_networks
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame, MapUpdate


def compare_precisions(
    title: str, config: NetworkConfig, load: Workload, device: str, *, rounds: int = 3,
    ways: tuple[str, ...] = (FROM_SCRATCH, TOKENS_KEPT, ENGINE), published_in: tuple[str, ...] = ("float32",),
    precisions: Sequence[str] = tuple(PRECISIONS),
) -> Comparison:  # fmt: skip
    """These ways in the first precision, then the others; errors are against the first way in the first.

    published_in: precisions in which the published ways are run too.
    """
    total, expected = None, None
    for name in precisions:
        networks = random_networks(config, device, PRECISIONS[name])
        chosen = tuple(way for way in ways if name in published_in or way not in (FROM_SCRATCH, TOKENS_KEPT))
        comparison, expected = compare(title, networks, load, rounds=rounds, ways=chosen, expected=expected)
        total = comparison if total is None else replace(total, speeds=(*total.speeds, *comparison.speeds))
    assert total is not None
    return total


@dataclass(frozen=True, slots=True)
class Drift:
    """A video mapped with the embedded weights in one precision, beside float32."""

    precision: str
    frame_ms: float
    tracked: int
    """Frames with a pose that are tracked."""
    local_error: float
    """Median over the frames of |difference| / |expected| of their own points."""
    world_error: float
    """The same of their world points."""
    position_error: float
    """Median distance of the camera positions over the extent of the trajectory."""


def measure_drift(images: Sequence[NDArray[np.uint8]], device: str) -> list[Drift]:
    """The whole engine over a video in every precision."""
    drifts: list[Drift] = []
    expected: list[MapUpdate] = []
    every_frame = SlamSettings().with_values({"register.only_keyframes": False})
    for name in PRECISIONS:
        slam = Slam(load_networks("embedded", device=device, precision=name), every_frame)
        started = time.perf_counter()
        updates = map_video(slam, images, name)
        frame_ms = (time.perf_counter() - started) * 1e3 / len(images)
        expected = expected or updates
        drifts.append(drift_of(name, frame_ms, updates, expected, len(slam.trajectory())))
    return drifts


def map_video(slam: Slam, images: Sequence[NDArray[np.uint8]], title: str) -> list[MapUpdate]:
    """All updates of a video."""
    updates: list[MapUpdate] = []
    for number, image in enumerate(tqdm(images, desc=title, leave=False)):
        updates += map_updates(slam.push(Frame(number, image)))
    return updates + map_updates(slam.flush())


def drift_of(name: str, frame_ms: float, got: list[MapUpdate], expected: list[MapUpdate], tracked: int) -> Drift:
    """How far the answers of one way are from the expected ones, frame by frame."""
    by_index = {update.index: update for update in expected}
    pairs = [(update, by_index[update.index]) for update in got if update.index in by_index]
    posed = [(a.pose, b.pose) for a, b in pairs if a.pose is not None and b.pose is not None]
    positions = np.array([[p.T_world_camera[:3, 3] for p in pair] for pair in posed]).reshape(-1, 2, 3)
    extent = float(np.linalg.norm(np.ptp(positions[:, 1], axis=0))) if len(positions) else float("nan")
    return Drift(
        precision=name,
        frame_ms=frame_ms,
        tracked=tracked,
        local_error=float(
            np.median([_relative(a.pointmaps.points_camera, b.pointmaps.points_camera) for a, b in pairs])
        ),
        world_error=float(np.median([_relative(a.pointmaps.points_world, b.pointmaps.points_world) for a, b in pairs])),
        position_error=float(np.median(np.linalg.norm(positions[:, 0] - positions[:, 1], axis=1))) / extent,
    )


def _relative(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(got - expected)) / max(float(np.linalg.norm(expected)), 1e-30)


def drift_table(drifts: Sequence[Drift]) -> list[str]:
    """Markdown."""
    lines = [
        "**Embedded weights over a video, against float32**",
        "",
        "| precision | ms a frame | tracked | own points: error | world points: error | position: error over extent |",
        "|---" * 6 + "|",
    ]
    return lines + [
        f"| {d.precision} | {d.frame_ms:.0f} | {d.tracked} | {d.local_error:.1e} | {d.world_error:.1e} "
        f"| {d.position_error:.1e} |"
        for d in drifts
    ]

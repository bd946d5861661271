"""Dense depth of keyframes against truth: ``slam3r_lab bench dense-depth``, some minutes.

Rendered sequences, and folders with depth and poses given with ``--sequences``; with true poses and with those of the
engine. The table goes to ``slam3r_lab/benchmarks/dense_depth.md``, pictures of depth and maps to ``--pictures``.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from slam3r_lab.benchmarks.accuracy_sequences import DIFFICULTIES, rendered_sequences
from slam3r_lab.benchmarks.dense_depth_cases import Keyframe, Recording, by_engine, by_true_poses, chosen_partners
from slam3r_lab.benchmarks.dense_depth_ways import WAYS
from slam3r_lab.benchmarks.machine import BENCHMARKS
from slam3r_lab.benchmarks.report import measured_by
from slam3r_lab.evaluation.clouds import Cloud, cloud_metrics, one_per_voxel
from slam3r_lab.sequences.readers import open_sequence
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_ros.dense_depth.consistency import DepthView, consistent_depth
from slam3r_ros.dense_depth.posed_view import DepthMap
from slam3r_ros.engine.point_map import PointMap
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import rigid, transform_points
from slam3r_ros.io.files import replacing
from slam3r_ros.networks.weights import load_networks
from slam3r_ros.render.cloud import SplatCloud
from slam3r_ros.render.renderer import render
from slam3r_ros.render.views import PerspectiveView
from slam3r_ros.settings import MapSettings, SlamSettings, WindowSettings
from slam3r_ros.types import MapPoints

BEST = "sweep, poses corrected"
CONSISTENT = "consistent with neighbours"
NETWORKS = "networks and flow, centre"
ENGINE = "the engine's views"
VOXEL_M = 0.01
"""Side of the voxels of the fused map."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way on the keyframes of one sequence."""

    poses: str
    sequence: str
    way: str
    keyframes: int
    median_percent: float
    """Median absolute difference of log depth, %, over the pixels that have an answer and a true depth."""
    shape_percent: float
    """The same after each keyframe's own median difference was taken out: without the error of scale."""
    known_percent: float
    """Pixels with an answer, of those with a true depth."""
    within_percent: float
    """Pixels whose depth is within 5 %, of those with an answer."""
    sigma_1_percent: float
    """Pixels whose error is at most one standard deviation; 68 if normal."""
    sigma_2_percent: float
    """The same for two; 95 if normal."""
    milliseconds: float
    """Processor time a keyframe; NaN where it is not known."""

    @classmethod
    def of(cls, poses: str, recording: Recording, way: str, maps: Sequence[DepthMap], seconds: float) -> Row:
        """Errors of depth images, one for each keyframe."""
        errors, shapes, scores = [], [], []
        for keyframe, found in zip(recording.keyframes, maps, strict=True):
            has_truth = np.isfinite(keyframe.true_depth)
            both = has_truth & found.is_known
            error = np.log(found.depth[both] / keyframe.true_depth[both])
            errors.append(error)
            shapes.append(error - np.median(error) if len(error) else error)
            scores.append(np.abs(error) / found.sigma[both])
        error, shape, score = (np.abs(np.concatenate(each)) for each in (errors, shapes, scores))
        shares = [float(np.mean(values)) for values in (error < np.log(1.05), score <= 1, score <= 2)]
        count = len(recording.keyframes)
        true_count = sum(np.count_nonzero(np.isfinite(keyframe.true_depth)) for keyframe in recording.keyframes)
        return cls(
            poses,
            recording.name,
            way,
            count,
            100 * float(np.median(error)),
            100 * float(np.median(shape)),
            100 * len(error) / true_count,
            100 * shares[0],
            100 * shares[1],
            100 * shares[2],
            1e3 * seconds / count,
        )


@dataclass(frozen=True, slots=True)
class MapRow:
    """One map of a sequence."""

    poses: str
    sequence: str
    way: str
    points: int
    accuracy_cm: float
    """Root mean square distance to the true cloud, at most 50 cm each."""
    completeness_cm: float
    within_5cm_percent: float
    """True points that have one of the map within 5 cm."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab bench dense-depth``."""
    parser.description = __doc__
    parser.add_argument("--groups", nargs="*", choices=DIFFICULTIES, default=["medium", "hard"], help="rendered ones")
    parser.add_argument("--each", type=int, default=2, help="rendered sequences of a group (default: %(default)s)")
    parser.add_argument("--sequences", nargs="+", default=[], type=Path, metavar="DIR", help="also these")
    parser.add_argument("--keyframes", type=int, default=60, help="most keyframes of each (default: %(default)s)")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write pictures of depth and maps there")
    parser.add_argument("--out", type=Path, default=BENCHMARKS / "dense_depth.md")


def main(arguments: argparse.Namespace) -> int:
    """Measure sequence by sequence; the tables hold what is done."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    rows: list[Row] = []
    maps: list[MapRow] = []
    for poses, recording in _recordings(arguments):
        if len(recording.keyframes) < 3:
            continue
        found = _measured(poses, recording, rows)
        cloud = fused(recording, found)
        maps += _map_rows(poses, recording, cloud)
        print("\n".join(_line(row) for row in rows if (row.poses, row.sequence) == (poses, recording.name)), flush=True)
        if arguments.pictures is not None:
            write_pictures(arguments.pictures / f"{recording.name}-{poses}", recording, found, cloud)
        with replacing(arguments.out) as file:
            file.write(document(rows, maps).encode())
    return 0


def _recordings(arguments: argparse.Namespace) -> Iterator[tuple[str, Recording]]:
    networks = load_networks("embedded", device="cpu", precision="auto")
    settings = SlamSettings(window=WindowSettings(lookahead=0))
    for sequence in _sequences(arguments):
        yield "true", by_true_poses(sequence, arguments.keyframes)
        yield "engine", by_engine(sequence, networks, settings, arguments.keyframes)


def _sequences(arguments: argparse.Namespace) -> Iterator[ImageSequence]:
    for group in arguments.groups:
        for _, folder in itertools.islice(rendered_sequences(group), arguments.each):
            yield open_sequence(folder)
    for folder in arguments.sequences:
        yield open_sequence(folder)


def _measured(poses: str, recording: Recording, rows: list[Row]) -> list[DepthMap]:
    """Add a row for each way; returns the best depth images."""
    count = len(recording.keyframes)
    if recording.map_points is not None:
        today = [DepthMap(each.guess, np.full_like(each.guess, 0.1)) for each in recording.keyframes]
        rows.append(Row.of(poses, recording, NETWORKS, today, float("nan")))
    if recording.engine_depths:
        with_view = replace(recording, keyframes=[recording.keyframes[number] for number in recording.engine_depths])
        rows.append(Row.of(poses, with_view, ENGINE, list(recording.engine_depths.values()), float("nan")))
    started = time.process_time()
    partners = [chosen_partners(recording, number) for number in range(count)]
    choosing = time.process_time() - started
    best: list[DepthMap] = []
    for name, way in WAYS.items():
        started = time.process_time()
        best = [way(each.view, others, each.guess) for each, others in zip(recording.keyframes, partners, strict=True)]
        rows.append(Row.of(poses, recording, name, best, choosing + time.process_time() - started))
        taken = rows[-1].milliseconds * count / 1e3
    started = time.process_time()
    views = [DepthView(each.view, found) for each, found in zip(recording.keyframes, best, strict=True)]
    consistent = [
        consistent_depth(own, [views[other] for other in recording.partners(number)])
        for number, own in enumerate(views)
    ]
    rows.append(Row.of(poses, recording, CONSISTENT, consistent, taken + time.process_time() - started))
    return consistent


def fused(recording: Recording, found: Sequence[DepthMap]) -> MapPoints:
    """The surest point of every voxel."""
    points_of_voxels = PointMap(MapSettings(voxel_size=VOXEL_M))
    for number, (keyframe, each) in enumerate(zip(recording.keyframes, found, strict=True)):
        known = each.is_known
        points = (keyframe.view.rays() * each.depth[..., None])[known]
        world = transform_points(keyframe.view.T_world_camera, points).astype(np.float32)
        points_of_voxels.add(world, keyframe.colours[known], (1 / each.sigma[known]).astype(np.float32), number)
    return points_of_voxels.points()


def _map_rows(poses: str, recording: Recording, cloud: MapPoints) -> Iterator[MapRow]:
    true = np.concatenate([_true_points(keyframe) for keyframe in recording.keyframes])
    clouds = {"dense": cloud}
    if recording.map_points is not None:
        clouds["engine"] = recording.map_points
    for name, each in clouds.items():
        points = each.points_world.astype(np.float64)
        metrics = cloud_metrics(Cloud(points, np.zeros_like(points)), Cloud(true, np.zeros_like(true)))
        accuracy, completeness = 100 * metrics.accuracy_rmse_m, 100 * metrics.completeness_rmse_m
        share = 100 * metrics.completion_ratio_5cm
        yield MapRow(poses, recording.name, name, len(each), accuracy, completeness, share)


def _true_points(keyframe: Keyframe) -> NDArray[np.float64]:
    """(N, 3) metres, one of each centimetre."""
    known = np.isfinite(keyframe.true_depth)
    points = transform_points(keyframe.T_true, (keyframe.view.rays() * keyframe.true_depth[..., None])[known])
    return points[one_per_voxel(points, VOXEL_M)]


def document(rows: Sequence[Row], maps: Sequence[MapRow]) -> str:
    """The whole file."""
    lines = [
        "# Dense depth of keyframes against truth",
        "",
        measured_by(),
        "",
        "Median and shape: median absolute difference of log depth, without and with each keyframe's own median",
        "taken out; known: pixels with an answer; within: of those, within 5 %; 1 and 2 sigma: of those, error at most",
        "so many standard deviations (normal: 68, 95); ms: processor time of one thread a keyframe, choice of partners",
        "included. The guess is 300 true depths of the centre square with true poses, the networks' depth image with",
        "those of the engine.",
        "",
        "| poses | sequence | way | keyframes | median % | shape % | known % | within 5 % | 1 sigma | 2 sigma | ms |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_line(row) for row in rows),
        "",
        "Maps of these keyframes, without any alignment but that of the trajectory: root mean square distance to the",
        "true cloud and back, 50 cm at most; true points with one of the map within 5 cm. `engine` is the engine's map",
        "of all frames, the true cloud that of these keyframes.",
        "",
        "| poses | sequence | map | points | accuracy cm | completeness cm | within 5 cm % |",
        "|---|---|---|---:|---:|---:|---:|",
        *(
            f"| {row.poses} | {row.sequence} | {row.way} | {row.points} | {row.accuracy_cm:.1f} | "
            f"{row.completeness_cm:.1f} | {row.within_5cm_percent:.0f} |"
            for row in maps
        ),
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    time_ms = "" if np.isnan(row.milliseconds) else f"{row.milliseconds:.0f}"
    sigmas = ["", ""] if row.way == NETWORKS else [f"{row.sigma_1_percent:.0f}", f"{row.sigma_2_percent:.0f}"]
    return (
        f"| {row.poses} | {row.sequence} | {row.way} | {row.keyframes} | {row.median_percent:.1f} | "
        f"{row.shape_percent:.1f} | {row.known_percent:.0f} | {row.within_percent:.0f} | {' | '.join(sigmas)} | "
        f"{time_ms} |"
    )


def write_pictures(stem: Path, recording: Recording, found: Sequence[DepthMap], cloud: MapPoints) -> None:
    """Some keyframes with true and found depth, and the maps as a camera behind the middle keyframe sees them."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    chosen = np.linspace(1, len(found) - 2, min(4, len(found))).astype(int)
    strips = []
    for number in chosen:
        keyframe = recording.keyframes[number]
        near, far = np.nanpercentile(keyframe.true_depth, [2, 98])
        images = [_coloured(depth, near, far) for depth in (keyframe.true_depth, found[number].depth)]
        strips.append(np.hstack([keyframe.colours, *images]))
    cv2.imwrite(f"{stem}-depth.png", np.vstack(strips)[..., ::-1])
    middle = recording.keyframes[len(found) // 2].view
    back = middle.T_world_camera @ rigid(np.eye(3), [0, 0, -0.3 * float(np.nanmedian(found[len(found) // 2].depth))])
    clouds = [cloud] if recording.map_points is None else [recording.map_points, cloud]
    view = PerspectiveView(back, Camera(640, 480, 520.0, 520.0, 319.5, 239.5))
    shots = [render(SplatCloud.of_map(each), view, (255, 255, 255)).image for each in clouds]
    cv2.imwrite(f"{stem}-map.png", np.hstack(shots)[..., ::-1])


def _coloured(depth: NDArray[np.float32], near: float, far: float) -> NDArray[np.uint8]:
    """(H, W, 3) RGB by inverse depth, black where it is unknown."""
    share = (1 / depth - 1 / far) / (1 / near - 1 / far)
    levels = np.nan_to_num(np.clip(share, 0, 1) * 255).astype(np.uint8)
    colours = np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), np.uint8)[..., ::-1].copy()
    colours[~np.isfinite(depth)] = 0
    return colours

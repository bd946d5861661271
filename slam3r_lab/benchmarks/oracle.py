"""Error out against error in: what the engine makes of networks that are wrong in a known way.

    python -m slam3r_lab.benchmarks.oracle SEQUENCE... [--frames N] [--step N] [--out FILE.md]

Oracles (`slam3r_lab.oracle`) answer from a sequence's truth; the table says how much of each error reaches
the trajectory and the map, with the engine's pose, with PnP alone and with the similarity alone, without and with later
members of windows, with known and with estimated focal length, without and with image tracks.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slam3r_lab.benchmarks.machine import BENCHMARKS
from slam3r_lab.evaluation.alignment import similarity_of_positions
from slam3r_lab.evaluation.machine import commit_of_code
from slam3r_lab.oracle import oracle_networks
from slam3r_lab.sequences.readers import open_sequence
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_lab.sequences.truth import TruePointmap, true_pointmap
from slam3r_ros.cli.trajectory_error import absolute_errors, root_mean_square
from slam3r_ros.engine.events import map_updates
from slam3r_ros.engine.slam import Slam
from slam3r_ros.geometry.se3 import Array, invert_rigid, nearest_rotation
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.geometry.umeyama import robust_umeyama
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame, MapUpdate, State
from slam3r_ros.vision.pnp import PointObservations, ransac_pose
from slam3r_ros.vision.pose_refinement import refine_pose

SETTINGS = (
    "exact",
    "noise=0.01",
    "noise=0.02",
    "noise=0.05",
    "noise=0.1",
    "noise=0.1,calibrated",
    "outliers=0.1",
    "outliers=0.3",
    "noise=0.05,outliers=0.1",
    "noise=0.05,outliers=0.1,calibrated",
    "placement=0.05",
    "shrink=0.1",
    "scale_drift=0.02",
    "pose_drift=0.02",
)
PIXEL_STEP = 7
"""Every so many pixels are compared."""
POSE_POINTS = 1500
INLIER_PX = 5.0
COLUMNS = (
    "sequence", "error in", "ATE cm", "PnP alone", "similarity alone", "best rigid fit", "whole windows",
    "estimated focal", "turn deg", "points cm", "lost", "tracks", "tracks: turn", "tracks: points",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """One run, metres and degrees."""

    ate: float
    by_pnp: float
    by_similarity: float
    by_best_fit: float
    turn: float
    points: float
    lost: int


def measure(sequence: ImageSequence, setting: str, values: dict[str, Any]) -> Measured:
    """Run the engine on an oracle and compare with the truth."""
    networks = oracle_networks(sequence, setting)
    slam = Slam(networks, SlamSettings().with_values(values))
    updates: list[MapUpdate] = []
    for frame in sequence.frames:
        image = sequence.image(frame)
        updates += map_updates(slam.push(Frame(frame.stamp_ns, image, sequence.camera_of(image))))
    updates += map_updates(slam.flush())
    size = networks.i2p.config.image_size
    truths = [true_pointmap(sequence, sequence.frames[update.index], size) for update in updates]
    answered = [
        (update, truth)
        for update, truth in zip(updates, truths, strict=True)
        if truth is not None and truth.T_world_camera is not None and truth.valid.any() and update.pose is not None
    ]
    poses = {
        "engine": [update.pose.T_world_camera for update, _ in answered if update.pose is not None],
        "pnp": [pnp_pose(update, truth) for update, truth in answered],
        "similarity": [similarity_pose(update, update.pointmaps.points_camera, truth) for update, truth in answered],
        "best": [similarity_pose(update, truth.points_camera, truth) for update, truth in answered],
    }
    true = np.array([truth.T_world_camera for _, truth in answered])
    alignment = similarity_of_positions(np.array(poses["engine"])[:, :3, 3], true[:, :3, 3])
    return Measured(
        ate=position_error(np.array(poses["engine"]), true),
        by_pnp=position_error(np.array(poses["pnp"]), true),
        by_similarity=position_error(np.array(poses["similarity"]), true),
        by_best_fit=position_error(np.array(poses["best"]), true),
        turn=turn_error(np.array(poses["engine"]), true),
        points=point_error(answered, alignment),
        lost=sum(update.state is State.LOST for update in updates),
    )


def position_error(poses: Array, true: Array) -> float:
    """Root mean square after the best similarity."""
    estimated, positions = poses[:, :3, 3], true[:, :3, 3]
    return root_mean_square(absolute_errors(estimated, positions, similarity_of_positions(estimated, positions)))


def turn_error(poses: Array, true: Array) -> float:
    """Median angle in degrees after the best common rotation."""
    common = nearest_rotation(np.einsum("nij,nkj->ik", true[:, :3, :3], poses[:, :3, :3]))
    delta = np.einsum("nji,jk,nkl->nil", true[:, :3, :3], common, poses[:, :3, :3])
    chord = np.linalg.norm(delta - np.eye(3), axis=(1, 2)) / (2 * np.sqrt(2))
    return float(np.degrees(np.median(2 * np.arcsin(np.minimum(chord, 1)))))


def point_error(answered: list[tuple[MapUpdate, TruePointmap]], alignment: Sim3) -> float:
    """Mean distance of the sure points that go into the map from the true points of their pixels, aligned by their own
    robust similarity."""
    estimated, true = [], []
    for update, truth in answered:
        if update.is_excluded:
            continue
        sure = np.flatnonzero(truth.valid & (update.pointmaps.confidence >= 1.5))[::PIXEL_STEP]
        estimated.append(update.pointmaps.points_world.reshape(-1, 3)[sure])
        true.append(truth.points_world().reshape(-1, 3)[sure])
    source, target = np.concatenate(estimated).astype(np.float64), np.concatenate(true)
    some = slice(None, None, max(1, len(source) // 20_000))
    fitted = robust_umeyama(source[some], target[some], np.ones(len(source[some])))
    if fitted is None:
        fitted = alignment
    return float(np.linalg.norm(fitted.apply(source) - target, axis=1).mean())


def similarity_pose(update: MapUpdate, points_camera: np.ndarray, truth: TruePointmap) -> Array:
    """The pose that the points alone give; the engine's where they give none (initial frames)."""
    assert update.pose is not None
    chosen = np.flatnonzero(truth.valid & points_camera.any(axis=-1))[::PIXEL_STEP]
    source, target = points_camera.reshape(-1, 3)[chosen], update.pointmaps.points_world.reshape(-1, 3)[chosen]
    fitted = robust_umeyama(source, target, update.pointmaps.confidence.ravel()[chosen])
    return update.pose.T_world_camera if fitted is None else fitted.pose


def pnp_pose(update: MapUpdate, truth: TruePointmap) -> Array:
    """The pose that pixels and world points alone give, with the true intrinsics."""
    assert update.pose is not None
    chosen = np.flatnonzero(truth.valid)
    chosen = chosen[:: max(1, len(chosen) // POSE_POINTS)]
    rows, columns = np.divmod(chosen, truth.camera.width)
    observed = PointObservations(
        update.pointmaps.points_world[rows, columns].astype(np.float64),
        np.stack([columns, rows], axis=1).astype(np.float64),
        truth.camera.matrix,
        INLIER_PX,
    )
    start = ransac_pose(observed)
    if start is None:
        return update.pose.T_world_camera
    return invert_rigid(refine_pose(observed, np.zeros_like(observed.points_world), start, 1.0).T_camera_world)


def row(sequence: ImageSequence, setting: str) -> list[str]:
    """One line of the table."""
    live = measure(sequence, setting, {})
    whole = measure(sequence, setting, {"window.lookahead": -1})
    guessed = measure(sequence, setting, {"pose.use_camera_info": False})
    tracked = measure(sequence, setting, {"pose.tracks": "on", "register.only_keyframes": False})
    lengths = (live.ate, live.by_pnp, live.by_similarity, live.by_best_fit, whole.ate, guessed.ate)
    centimetres = [f"{100 * length:.2f}" for length in lengths]
    others = [f"{live.turn:.2f}", f"{100 * live.points:.2f}", str(live.lost)]
    with_tracks = [f"{100 * tracked.ate:.2f}", f"{tracked.turn:.2f}", f"{100 * tracked.points:.2f}"]
    return [sequence.name, setting, *centimetres, *others, *with_tracks]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab bench oracle``."""
    parser.description = __doc__
    parser.add_argument("sequences", nargs="+", help="folders with depth and poses")
    parser.add_argument("--frames", type=int, default=150, help="most frames of each (default: %(default)s)")
    parser.add_argument("--step", type=int, default=1, help="every so many frames (default: %(default)s)")
    parser.add_argument("--setting", action="append", help="an oracle's setting instead of these; may be repeated")
    parser.add_argument("--out", type=Path, default=BENCHMARKS / "oracle.md")


def main(arguments: argparse.Namespace) -> int:
    """Measure every setting on every sequence; the table is written anew after each line."""
    torch.set_num_threads(1)
    lines = [
        f"Commit {commit_of_code()}, `slam3r_lab bench oracle` with --frames {arguments.frames} "
        f"--step {arguments.step}. ATE in cm after alignment with scale.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
    ]
    for path in arguments.sequences:
        sequence = open_sequence(path).every(arguments.step, arguments.frames)
        for setting in arguments.setting or SETTINGS:
            lines.append("| " + " | ".join(row(sequence, setting)) + " |")
            print(lines[-1], flush=True)
            arguments.out.write_text("\n".join(lines) + "\n")
    return 0

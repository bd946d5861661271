"""Whether ~/odometry's covariances are those of the true errors; it takes some minutes.

Each sequence goes through the engine with known intrinsics; then the published standard deviations are divided by the
errors after the best similarity, both as root mean squares over the tracked frames. Folders given with ``--sequences``
are measured too. The table goes to ``slam3r_lab/benchmarks/covariance.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from slam3r_lab.benchmarks.accuracy import protocol_for
from slam3r_lab.benchmarks.accuracy_sequences import DIFFICULTIES, rendered_sequences
from slam3r_lab.benchmarks.machine import BENCHMARKS
from slam3r_lab.benchmarks.report import measured_by
from slam3r_lab.evaluation.alignment import similarity_of_positions
from slam3r_lab.sequences.readers import open_sequence
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_ros.cli.trajectory_error import absolute_errors, root_mean_square
from slam3r_ros.engine.events import MappedPlace, Update
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.slam import Slam
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.io.files import replacing
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.networks.weights import load_networks
from slam3r_ros.ros.output.pose_covariance import PoseUncertainty
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame, MapUpdate, PoseUpdate

WEIGHTS = "embedded"


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence; root mean squares over its tracked frames."""

    name: str
    frames: int
    position_error_cm: float
    position_published_cm: float
    rotation_error_deg: float
    rotation_published_deg: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab bench covariance``."""
    parser.description = __doc__
    parser.add_argument("--groups", nargs="*", choices=DIFFICULTIES, default=list(DIFFICULTIES), help="rendered ones")
    parser.add_argument("--sequences", nargs="+", default=[], type=Path, metavar="DIR", help="also these")
    parser.add_argument("--out", type=Path, default=BENCHMARKS / "covariance.md")


def main(arguments: argparse.Namespace) -> int:
    """Measure sequence by sequence; the table holds what is done."""
    networks, rows = load_networks(WEIGHTS, device="cpu"), list[Row]()
    for folder in _folders(arguments):
        rows.append(measure(open_sequence(folder), networks))
        print(_line(rows[-1]), flush=True)
        with replacing(arguments.out) as file:
            file.write(document(rows).encode())
    return 0


def measure(sequence: ImageSequence, networks: NetworkPair) -> Row:
    """The engine on a sequence whose every frame has a true pose, with the settings of ``make accuracy``."""
    protocol = protocol_for(WEIGHTS, sequence)
    slam, uncertainty = Slam(networks, SlamSettings().with_values(protocol.values)), PoseUncertainty()
    estimated, true, published = [], [], list[Array]()

    def note(update: Update) -> None:
        if isinstance(update, MapCorrection | KeyframeView | MappedPlace) or (
            isinstance(update, PoseUpdate) and update.is_keyframe
        ):
            return
        T_true = sequence.frames[update.index].T_world_camera
        if update.pose is None or T_true is None or (isinstance(update, MapUpdate) and not update.is_tracked):
            return
        if isinstance(update, MapUpdate):
            uncertainty.observe(update)
        estimated.append(update.pose.T_world_camera)
        true.append(T_true)
        published.append(uncertainty.covariances(update.pose, 1.0)[1])

    slam.on_update = note
    for frame in sequence.frames:
        image = sequence.image(frame)
        slam.push(Frame(frame.stamp_ns, image, sequence.camera_of(image)))
    slam.flush()
    return compared(sequence.name, np.array(estimated), np.array(true), np.array(published))


def compared(name: str, estimated: Array, true: Array, published: Array) -> Row:
    """Estimated and true poses (N, 4, 4) and the published covariances (N, 6, 6), scene units and radians."""
    fitted = similarity_of_positions(estimated[:, :3, 3], true[:, :3, 3])
    off = absolute_errors(estimated[:, :3, 3], true[:, :3, 3], fitted)
    turns = Rotation.from_matrix(true[:, :3, :3]) * Rotation.from_matrix(estimated[:, :3, :3]).inv()
    turned = (turns.mean().inv() * turns).magnitude()
    return Row(
        name,
        len(estimated),
        100 * root_mean_square(off),
        100 * float(fitted.scale) * float(np.sqrt(np.trace(published[:, :3, :3], axis1=1, axis2=2).mean())),
        float(np.degrees(root_mean_square(turned))),
        float(np.degrees(np.sqrt(np.trace(published[:, 3:, 3:], axis1=1, axis2=2).mean()))),
    )


def document(rows: Sequence[Row]) -> str:
    """The whole file."""
    lines = [
        "# Odometry's covariances against the true errors",
        "",
        measured_by(),
        "",
        "Root mean squares over the tracked frames, known intrinsics, embedded weights: errors after the best",
        "similarity (positions) and the best rotation, deviations by the covariances that ~/odometry publishes with",
        "these poses. Above 1 they are too cautious, below 1 too sure. Poses as they were published: before later",
        "loops were closed.",
        "",
        "| sequence | frames | position: error, told, cm | told / error | rotation: error, told, ° | told / error |",
        "|---|---:|---:|---:|---:|---:|",
        *map(_line, rows),
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    position, rotation = (
        row.position_published_cm / row.position_error_cm,
        row.rotation_published_deg / row.rotation_error_deg,
    )
    return (
        f"| {row.name} | {row.frames} | {row.position_error_cm:.1f}, {row.position_published_cm:.1f} | {position:.2f} "
        f"| {row.rotation_error_deg:.2f}, {row.rotation_published_deg:.2f} | {rotation:.2f} |"
    )


def _folders(arguments: argparse.Namespace) -> Iterator[Path]:
    for group in arguments.groups:
        yield from (folder for _, folder in rendered_sequences(group))
    yield from arguments.sequences

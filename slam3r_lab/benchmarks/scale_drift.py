"""What another sensor is worth against the drift of the scale: ``slam3r_lab bench scale-drift DIR ...``, minutes.

Each sequence by the engine alone, with its true poses as the robot's odometry, and with its depth images as a depth
camera, as far as it has them. The table says what is left of the drift.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slam3r_lab.benchmarks.accuracy import protocol_for
from slam3r_lab.benchmarks.report import measured_by
from slam3r_lab.evaluation.trajectory import TrajectoryMetrics, compare_trajectories
from slam3r_lab.evaluation.weights import choose_networks
from slam3r_lab.sequences.readers import open_sequence
from slam3r_lab.sequences.sequence import ImageSequence, SequenceFrame
from slam3r_ros.engine.events import MappedPlace, Update
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.slam import Slam
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.scale_edges import ScaleObservation, corrected_observations
from slam3r_ros.metric_scale.depth_source import depth_observation
from slam3r_ros.metric_scale.motion_source import MotionSource
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.types import Frame, MapUpdate

WEIGHTS = "embedded"
SOURCES = ("none", "odometry", "depth")


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence with one source."""

    sequence: str
    source: str
    observations: int
    corrections: int
    metrics: TrajectoryMetrics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab bench scale-drift``."""
    parser.description = __doc__
    parser.add_argument("sequences", nargs="+", type=Path, metavar="DIR", help="sequences with true poses")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES), help="(default: all)")


def main(arguments: argparse.Namespace) -> int:
    """Measure, and print the table."""
    rows = []
    for path in arguments.sequences:
        sequence = open_sequence(path)
        for source in arguments.sources:
            row = measure(sequence, choose_networks(WEIGHTS)(sequence), source)
            if row is not None:
                rows.append(row)
    print(document(rows))
    return 0 if rows else 1


class Sensor:
    """What a sensor says of the scale while the engine maps a sequence."""

    def __init__(self, sequence: ImageSequence, source: str) -> None:
        self._sequence, self._source = sequence, source
        self._frames = {frame.stamp_ns: frame for frame in sequence.frames}
        self._motion = MotionSource()
        self._last_index = -1

    def move(self, frame: SequenceFrame) -> None:
        """The robot's odometry at an image."""
        if self._source == "odometry" and frame.T_world_camera is not None:
            self._motion.add_metric_pose(frame.stamp_ns, frame.T_world_camera)

    def observe(self, update: Update) -> list[ScaleObservation]:
        """What follows from an event of the engine."""
        if isinstance(update, MapCorrection):
            self._motion.correct(update)
        elif isinstance(update, KeyframeView):
            return self._compare_depth(update) if self._source == "depth" else []
        elif self._source == "odometry" and not isinstance(update, MappedPlace) and update.index > self._last_index:
            self._last_index = update.index
            if update.pose is None or (isinstance(update, MapUpdate) and not update.is_tracked):
                self._motion.lose()
                return []
            T = update.pose.T_world_camera
            self._motion.add_frame(update.header.stamp_ns, update.index, T, np.eye(4))
            return self._motion.observations()
        return []

    def _compare_depth(self, view: KeyframeView) -> list[ScaleObservation]:
        depth = self._sequence.depth(self._frames[view.header.stamp_ns])
        camera = None if depth is None else self._sequence.camera_of(depth)
        if depth is None or camera is None:
            return []
        observation = depth_observation(view, depth, camera, np.eye(4))
        return [] if observation is None else [observation]


def measure(sequence: ImageSequence, networks: NetworkPair, source: str) -> Row | None:
    """The engine on a sequence with a source of the scale; None where too little is known of the truth."""
    sensor, counts = Sensor(sequence, source), {"observations": 0, "corrections": 0}
    slam = Slam(networks, protocol_for(WEIGHTS, sequence).settings())

    def take(updates: Sequence[Update]) -> None:
        new: list[ScaleObservation] = []
        for update in updates:
            if isinstance(update, MapCorrection):
                counts["corrections"] += 1
                new = corrected_observations(new, update)
            new += sensor.observe(update)
        counts["observations"] += len(new)
        slam.observe_scale(new)

    for frame in sequence.frames:
        image = sequence.image(frame)
        sensor.move(frame)
        take(slam.push(Frame(frame.stamp_ns, image, sequence.camera_of(image))))
    take(slam.flush())
    truth = {each.stamp_ns: each.T_world_camera for each in sequence.frames if each.T_world_camera is not None}
    compared = compare_trajectories(slam.trajectory(), truth)
    return None if compared is None else Row(sequence.name, source, **counts, metrics=compared.metrics)


def document(rows: Sequence[Row]) -> str:
    """The table."""
    return "\n".join(
        [
            measured_by(),
            "",
            "| sequence | source | observations | corrections | path m | ATE % | scale drift % | scale spread % |",
            "|---|---|---:|---:|---:|---:|---:|---:|",
            *_lines(rows),
        ]
    )


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        metrics = row.metrics
        figures = (
            metrics.path_m,
            metrics.ate_percent_of_path,
            metrics.scale_drift_percent,
            metrics.scale_spread_percent,
        )
        shown = " | ".join("-" if figure is None else f"{figure:.2f}" for figure in figures)
        yield f"| {row.sequence} | {row.source} | {row.observations} | {row.corrections} | {shown} |"

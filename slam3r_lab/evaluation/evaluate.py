"""Everything that is measured of one sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from slam3r_lab.evaluation.calibration import Calibration, calibrate
from slam3r_lab.evaluation.clouds import AlignedCloud, CloudMetrics, compare_clouds
from slam3r_lab.evaluation.fused_map import compare_map
from slam3r_lab.evaluation.network_errors import NetworkErrors, NetworkProbe
from slam3r_lab.evaluation.overlap import RetrievalMetrics, measure_retrieval
from slam3r_lab.evaluation.protocols import Protocol
from slam3r_lab.evaluation.run import Cost, Run, Tracking, run_sequence
from slam3r_lab.evaluation.samples import PixelChoice, PixelPairs, TruePixels, pair_up, true_pixels
from slam3r_lab.evaluation.trajectory import AlignedTrajectory, TrajectoryMetrics, compare_trajectories
from slam3r_lab.sequences.sequence import ImageSequence, SequenceError
from slam3r_lab.sequences.truth import TruePointmap, true_pointmap
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import MapPoints, StampedPose


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured how, apart from the protocol."""

    seed: int = 0
    """Of every random choice of pixels and points."""
    cloud_points: int = 500_000
    """Most pixels, over all frames of a sequence, that clouds and confidence are measured on."""
    network_samples: int = 8
    """Frames that the networks alone are measured on; 0 leaves that out."""


@dataclass(frozen=True, slots=True)
class SequenceResult:
    """The figures of one sequence. All but `cost` are the same in two runs on one machine."""

    sequence: str
    layout: str
    tracking: Tracking
    trajectory: TrajectoryMetrics | None
    cloud: CloudMetrics | None
    """Of the points that are confident enough for the map."""
    cloud_of_all: CloudMetrics | None
    """Of all points, with the alignment of the confident ones."""
    calibration: Calibration | None
    networks: NetworkErrors | None
    retrieval: RetrievalMetrics | None
    problems: tuple[str, ...]
    """What was wrong with the sequence, and what could not be measured and why."""
    cost: Cost
    map: CloudMetrics | None = None
    """Of all points of the map, as it is saved, against the true points of the whole images."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing could be measured."""
        measured = (self.trajectory, self.cloud, self.networks, self.retrieval)
        return not self.tracking.registered and all(each is None for each in measured)


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A sequence's figures and what they were made from, for files and pictures."""

    result: SequenceResult
    trajectory: list[StampedPose]
    map_points: MapPoints
    aligned_trajectory: AlignedTrajectory | None
    aligned_cloud: AlignedCloud | None
    pairs: PixelPairs
    map_confidence: float


def evaluate_sequence(
    sequence: ImageSequence,
    networks: NetworkPair,
    protocol: Protocol,
    options: Options,
    *,
    progress: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Run ``sequence``, of which the protocol's frames have been chosen, and measure what its truth allows."""
    settings = protocol.settings()
    choice = PixelChoice(max(1, options.cloud_points // max(1, len(sequence))), options.seed)
    run = run_sequence(
        sequence, networks, settings, with_intrinsics=protocol.with_intrinsics, choice=choice, progress=progress
    )
    missing: list[str] = []
    truth = _truth_of(sequence, run.positions, networks.i2p.config.image_size)
    trajectory = _trajectory(sequence, run, missing)
    pairs = pair_up(run.estimated, _true_pixels(truth, choice))
    cloud = _cloud(pairs, run, options.seed, truth, missing)
    calibration = None if cloud is None else _calibration(pairs, cloud)
    retrieval = measure_retrieval(run.registrations, truth)
    if retrieval is None:
        missing.append("no precision of retrieval: nothing to choose from, or no depth and poses for it")
    errors = _network_errors(sequence, networks, settings, options, missing)
    result = SequenceResult(
        sequence.name,
        sequence.layout,
        run.tracking,
        None if trajectory is None else trajectory.metrics,
        None if cloud is None else cloud.metrics,
        None if cloud is None else cloud.metrics_of_all,
        calibration,
        errors,
        retrieval,
        (*sequence.problems, *missing),
        run.cost,
        None
        if trajectory is None
        else compare_map(run.map_points, trajectory.alignment, sequence, run.positions, choice),
    )
    return Evaluation(result, run.trajectory, run.map_points, trajectory, cloud, pairs, run.map_confidence)


def true_pixels_of(sequence: ImageSequence, size: tuple[int, int], choice: PixelChoice) -> dict[int, TruePixels]:
    """The sampled true pixels of every frame with depth, intrinsics and a pose, by its position."""
    return _true_pixels(_truth_of(sequence, range(len(sequence)), size), choice)


def _truth_of(sequence: ImageSequence, positions: Sequence[int], size: tuple[int, int]) -> dict[int, TruePointmap]:
    """True pointmaps of the frames at those positions, by their number among them."""
    truth = {}
    for number, position in enumerate(positions):
        try:
            pointmap = true_pointmap(sequence, sequence.frames[position], size)
        except SequenceError as error:
            sequence.report(str(error))
            continue
        if pointmap is not None:
            truth[number] = pointmap
    return truth


def _true_pixels(truth: dict[int, TruePointmap], choice: PixelChoice) -> dict[int, TruePixels]:
    return {
        number: true_pixels(pointmap, choice.of(number, pointmap.valid.size))
        for number, pointmap in truth.items()
        if pointmap.T_world_camera is not None
    }


def _trajectory(sequence: ImageSequence, run: Run, missing: list[str]) -> AlignedTrajectory | None:
    truth = {f.stamp_ns: f.T_world_camera for f in sequence.frames if f.T_world_camera is not None}
    aligned = compare_trajectories(run.trajectory, truth)
    if aligned is None:
        common = sum(pose.stamp_ns in truth for pose in run.trajectory)
        missing.append(f"no trajectory error: {common} tracked frames have a true pose, three are needed")
    return aligned


def _cloud(
    pairs: PixelPairs, run: Run, seed: int, truth: dict[int, TruePointmap], missing: list[str]
) -> AlignedCloud | None:
    if not len(pairs):
        why = "no frame has depth, a pose and intrinsics" if truth else "no frame has depth and intrinsics"
        missing.append(f"no error of the cloud: {why}")
        return None
    cloud = compare_clouds(pairs, run.map_confidence, seed)
    if cloud is None:
        missing.append(
            f"no error of the cloud: no three points with a confidence of {run.map_confidence:g} and a true point"
        )
    return cloud


def _calibration(pairs: PixelPairs, cloud: AlignedCloud) -> Calibration | None:
    chosen = np.flatnonzero(pairs.has_estimate & np.isfinite(pairs.estimated).all(axis=1))
    errors = np.linalg.norm(cloud.alignment.apply(pairs.estimated[chosen]) - pairs.true[chosen], axis=1)
    return calibrate(pairs.confidence[chosen], errors)


def _network_errors(
    sequence: ImageSequence, networks: NetworkPair, settings: SlamSettings, options: Options, missing: list[str]
) -> NetworkErrors | None:
    if not options.network_samples:
        return None
    errors = NetworkProbe(sequence, networks, settings, options.network_samples).measure()
    if errors is None:
        missing.append("no errors of the networks alone: no frame has depth and intrinsics")
    return errors

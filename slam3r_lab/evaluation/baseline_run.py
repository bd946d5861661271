"""A baseline measured like a set of weights: its poses, and its points where it has any."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from slam3r_lab.baselines import BaselineError, BaselineResult, run_baseline
from slam3r_lab.evaluation.clouds import Cloud
from slam3r_lab.evaluation.evaluate import Evaluation, Options, SequenceResult, true_pixels_of
from slam3r_lab.evaluation.fused_map import compare_points
from slam3r_lab.evaluation.machine import PeakMemory
from slam3r_lab.evaluation.protocols import Protocol
from slam3r_lab.evaluation.run import Cost, Tracking
from slam3r_lab.evaluation.samples import PixelChoice, pair_up
from slam3r_lab.evaluation.trajectory import compare_trajectories
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.types import MapPoints, State


def evaluate_baseline(
    name: str,
    sequence: ImageSequence,
    networks: NetworkPair,
    protocol: Protocol,
    options: Options,
    *,
    progress: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Run the baseline on the protocol's frames. Its points have no pixels, so they are aligned by the trajectory and
    ICP, and there is no calibration.
    """
    with PeakMemory(networks.i2p.device) as memory:
        try:
            outcome = run_baseline(name, sequence, networks)
        except BaselineError as error:
            outcome = BaselineResult([], None, 0.0, [str(error)])
    for _ in sequence.frames:
        progress()
    missing = list(outcome.problems)
    truth = {f.stamp_ns: f.T_world_camera for f in sequence.frames if f.T_world_camera is not None}
    trajectory = compare_trajectories(outcome.trajectory, truth)
    if trajectory is None:
        missing.append("no trajectory error: fewer than three frames with a pose have a true one")
    choice = PixelChoice(max(1, options.cloud_points // max(1, len(sequence))), options.seed)
    pairs = pair_up({}, true_pixels_of(sequence, networks.i2p.config.image_size, choice))
    points = outcome.points
    cloud = None
    if points is None or not len(points):
        missing.append("no error of the cloud: this baseline has no points")
    elif trajectory is None or not len(pairs):
        missing.append("no error of the cloud: no true cloud, or no trajectory to align by")
    else:
        true = Cloud(pairs.true.astype(np.float64), pairs.true_normals.astype(np.float64))
        cloud = compare_points(points, trajectory.alignment, true, options.seed)
    per_second = len(sequence) / outcome.seconds if outcome.seconds > 0 else None
    result = SequenceResult(
        sequence.name,
        sequence.layout,
        _tracking(len(sequence), len(outcome.trajectory), 0 if points is None else len(points)),
        None if trajectory is None else trajectory.metrics,
        None if cloud is None else cloud.metrics,
        None if cloud is None else cloud.metrics_of_all,
        None,
        None,
        None,
        (*sequence.problems, *missing),
        Cost(per_second, outcome.seconds, memory.peak_mib, memory.peak_gpu_mib),
    )
    empty = MapPoints(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(0, np.float32))
    return Evaluation(result, outcome.trajectory, points or empty, trajectory, cloud, pairs, 0.0)


def _tracking(frames: int, poses: int, points: int) -> Tracking:
    """A frame is tracked where the baseline has a pose for it."""
    return Tracking(
        frames=frames,
        processed=frames,
        registered=poses,
        tracked=poses,
        tracked_percent=100 * poses / max(1, frames),
        losses=0,
        lost_frames=0,
        frames_to_initialise=None,
        seconds_to_initialise=None,
        final_state=State.TRACKING.name if poses else State.INITIALIZING.name,
        keyframes=0,
        map_points=points,
    )

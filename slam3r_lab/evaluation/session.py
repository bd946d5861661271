"""Sequences evaluated one after another with the same weights and protocol, and their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from slam3r_lab.evaluation.evaluate import Evaluation, Options, SequenceResult, evaluate_sequence
from slam3r_lab.evaluation.machine import this_machine
from slam3r_lab.evaluation.plots import draw_evaluation
from slam3r_lab.evaluation.protocols import Protocol
from slam3r_lab.evaluation.report import Circumstances, Report
from slam3r_lab.evaluation.weights import BASELINE_PREFIX, choose_networks
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_ros.io.files import OutputError, make_writable
from slam3r_ros.io.map_axes import points_in_map, trajectory_in_map
from slam3r_ros.io.ply import write_ply
from slam3r_ros.io.save import MAP_NAME, TRAJECTORY_NAME
from slam3r_ros.io.tum import write_trajectory
from slam3r_ros.setting_spec import specs_of
from slam3r_ros.types import StampedPose

TRUTH_NAME = "truth.tum"


class Session:
    """One set of weights, or a baseline, under one protocol."""

    def __init__(
        self,
        weights: str,
        protocol: Protocol,
        options: Options,
        *,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        """Raises WeightsError and BackendError."""
        self._weights = weights
        self._protocol = protocol
        self._options = options
        self._baseline = weights.removeprefix(BASELINE_PREFIX) if weights.startswith(BASELINE_PREFIX) else None
        self._networks = choose_networks(weights, device=device, precision=precision)
        self._settings: dict[str, object] = {}
        self._device = torch.device("cpu")
        self._results: list[SequenceResult] = []
        self.failures: list[str] = []
        """Sequences that could not be evaluated at all, and why."""

    def evaluate(self, sequence: ImageSequence, progress: Callable[[], object] = lambda: None) -> Evaluation:
        """Measure a sequence whose frames are those of the protocol; its result is kept for the report."""
        networks = self._networks(sequence)
        self._device = networks.i2p.device
        if self._baseline is not None:
            from slam3r_lab.evaluation.baseline_run import evaluate_baseline

            evaluation = evaluate_baseline(
                self._baseline, sequence, networks, self._protocol, self._options, progress=progress
            )
        else:
            settings = self._protocol.settings().resolved(networks.recommended)
            self._settings = {spec.name: settings.value(spec.name) for spec in specs_of(type(settings))}
            evaluation = evaluate_sequence(sequence, networks, self._protocol, self._options, progress=progress)
        self._results.append(evaluation.result)
        return evaluation

    def report(self, date: str, commit: str, command: str) -> Report:
        """Everything measured so far."""
        return Report(
            self._weights,
            self._protocol,
            self._settings,
            self._options,
            tuple(self._results),
            tuple(self.failures),
            Circumstances(date, commit, command, this_machine(self._device)),
        )


def write_files(evaluation: Evaluation, sequence: ImageSequence, directory: Path, *, pictures: bool) -> None:
    """Write the map, the trajectory, its truth and the pictures; raises OutputError.

    Map and trajectory are in map axes and scene units as ``slam3r_ros run`` writes them, the truth as the sequence has
    it: ``evo_ape tum truth.tum trajectory.tum -as`` gives the ATE.
    """
    make_writable(directory)
    if len(evaluation.map_points):
        write_ply(directory / MAP_NAME, points_in_map(evaluation.map_points))
    write_trajectory(directory / TRAJECTORY_NAME, trajectory_in_map(evaluation.trajectory))
    truth = [
        StampedPose(each.stamp_ns, each.T_world_camera) for each in sequence.frames if each.T_world_camera is not None
    ]
    if truth:
        write_trajectory(directory / TRUTH_NAME, truth)
    if pictures:
        try:
            draw_evaluation(evaluation, directory)
        except OSError as error:
            raise OutputError(f"cannot write pictures to '{directory}': {error.strerror or error}") from error

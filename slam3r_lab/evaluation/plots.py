"""Plots of an evaluation: trajectory over truth, cloud coloured by its error, confidence against error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from slam3r_lab.evaluation.calibration import Calibration
from slam3r_lab.evaluation.clouds import AlignedCloud
from slam3r_lab.evaluation.evaluate import Evaluation
from slam3r_lab.evaluation.samples import PixelPairs
from slam3r_lab.evaluation.trajectory import AlignedTrajectory

_POINTS_DRAWN = 60_000
_WORST_SHOWN_CM = 20.0
_TRUE_COLOUR, _ESTIMATED_COLOUR = "#1c7ed6", "#ff2d55"


def draw_evaluation(evaluation: Evaluation, directory: Path) -> list[Path]:
    """Write what there is to be drawn: trajectory.png, cloud.png, confidence.png. Raises OSError."""
    written = []
    name = evaluation.result.sequence
    if evaluation.aligned_trajectory is not None:
        written.append(_draw_trajectory(evaluation.aligned_trajectory, name, directory / "trajectory.png"))
    if evaluation.aligned_cloud is not None:
        pairs, threshold = evaluation.pairs, evaluation.map_confidence
        written.append(_draw_cloud(pairs, evaluation.aligned_cloud, threshold, name, directory / "cloud.png"))
    if evaluation.result.calibration is not None:
        written.append(_draw_confidence(evaluation.result.calibration, name, directory / "confidence.png"))
    return written


def _draw_trajectory(aligned: AlignedTrajectory, name: str, path: Path) -> Path:
    true, estimated = (positions @ _widest_axes(aligned.true) for positions in (aligned.true, aligned.estimated))
    figure = _figure(8, 8)
    axes = figure.add_subplot()
    for a, b in zip(true, estimated, strict=True):
        axes.plot([a[0], b[0]], [a[1], b[1]], color="#ced4da", linewidth=0.7, zorder=1)
    axes.plot(*true.T[:2], color=_TRUE_COLOUR, label="true")
    axes.plot(*estimated.T[:2], color=_ESTIMATED_COLOUR, label="estimated")
    axes.set_aspect("equal")
    axes.set_xlabel("[m]")
    axes.legend()
    metrics = aligned.metrics
    axes.set_title(f"{name}: ATE {metrics.ate_rmse_m:.3f} m RMSE, {metrics.ate_percent_of_path:.2f} % of the path")
    return _save(figure, path)


def _draw_cloud(pairs: PixelPairs, aligned: AlignedCloud, threshold: float, name: str, path: Path) -> Path:
    confident = pairs.has_estimate & ~pairs.is_held & (pairs.confidence >= threshold)
    chosen = np.flatnonzero(confident & np.isfinite(pairs.estimated).all(axis=1))
    if len(chosen) > _POINTS_DRAWN:
        chosen = np.sort(np.random.default_rng(0).choice(chosen, _POINTS_DRAWN, replace=False))
    points, true = aligned.alignment.apply(pairs.estimated[chosen]), pairs.true[chosen].astype(np.float64)
    error_cm = 100 * np.linalg.norm(points - true, axis=1)
    axes_of_view = _widest_axes(true)
    figure = _figure(16, 7)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    left.scatter(*(points @ axes_of_view).T[:2], s=1, c=pairs.colours[chosen] / 255.0, linewidths=0)
    shown = right.scatter(
        *(points @ axes_of_view).T[:2], s=1, c=error_cm, cmap="turbo", vmin=0, vmax=_WORST_SHOWN_CM, linewidths=0
    )
    for axes, title in ((left, "estimated"), (right, "by the distance to the pixel's true point")):
        axes.set_aspect("equal")
        axes.set_title(title)
        axes.set_xlabel("[m]")
    low, high = np.percentile(true @ axes_of_view, [0.5, 99.5], axis=0)
    margin = 0.1 * float((high - low).max()) + 1e-3
    left.set_xlim(low[0] - margin, high[0] + margin)
    left.set_ylim(low[1] - margin, high[1] + margin)
    figure.colorbar(shown, ax=right, label="[cm]", extend="max")
    figure.suptitle(
        f"{name}: accuracy {aligned.metrics.accuracy_mean_cm:.2f} cm, "
        f"completeness {aligned.metrics.completeness_mean_cm:.2f} cm"
    )
    return _save(figure, path)


def _draw_confidence(calibration: Calibration, name: str, path: Path) -> Path:
    figure = _figure(8, 5)
    axes = figure.add_subplot()
    confidence = [point.confidence for point in calibration.curve]
    axes.plot(confidence, [p.mean_error_cm for p in calibration.curve], "o-", color=_ESTIMATED_COLOUR, label="mean")
    axes.plot(confidence, [p.median_error_cm for p in calibration.curve], "o-", color=_TRUE_COLOUR, label="median")
    axes.set_xscale("log")
    axes.set_xlabel("confidence (each mark a twentieth of the points)")
    axes.set_ylabel("distance to the true point [cm]")
    axes.set_ylim(bottom=0)
    axes.legend()
    axes.set_title(
        f"{name}: AUSE {calibration.sparsification_error:.3f} "
        f"(no information: {calibration.random_sparsification_error:.3f}), "
        f"rank correlation {calibration.rank_correlation:.2f}"
    )
    return _save(figure, path)


def _widest_axes(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 2) the two directions in which (N, 3) points spread most: what to look at from the side they are flattest."""
    centred = points - points.mean(axis=0)
    return np.linalg.eigh(centred.T @ centred)[1][:, [2, 1]]


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    return path

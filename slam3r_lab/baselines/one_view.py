"""I2P with one view: single-view pointmaps, chained from frame to frame along the optical flow."""

from __future__ import annotations

import time
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from slam3r_lab.baselines.result import BaselineResult
from slam3r_lab.sequences.sequence import ImageSequence, SequenceError
from slam3r_ros.engine.encoder import Encoder
from slam3r_ros.engine.image_to_points_stage import ImageToPointsStage
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.geometry.umeyama import robust_umeyama
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.types import EncodedFrame, Frame, LocalPointmap, MapPoints, StampedPose, Window

FLOW_STEP = 4
"""Every so many rows and columns of the crop are followed to the next frame."""
FLOW_WINDOW = (15, 15)
FLOW_RETURN_PX = 1.0
"""A point followed forth and back must come back this near."""
FEWEST_POINTS = 20
"""With fewer points in common the frame is taken to stand where the one before stood."""
POINTS_PER_FRAME = 500
"""Of the cloud, evenly spread over the confident pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A single-view pointmap."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB crop."""
    points: Array
    """(H, W, 3) in its camera, at a scale of its own."""
    confidence: NDArray[np.float32]
    """(H, W)"""
    valid: NDArray[np.bool_]
    """(H, W)"""


@torch.inference_mode()
def one_view(sequence: ImageSequence, networks: NetworkPair) -> BaselineResult:
    """Every frame's pointmap from I2P with itself as the only other view, and similarities between consecutive ones.

    Points are followed by the optical flow of Lucas and Kanade; the chained similarities give poses in the first
    frame's camera and scale. No buffer, no L2W: what I2P knows of one image, and matching.
    """
    encoder = Encoder(networks.i2p)
    local_points = ImageToPointsStage(networks.i2p, networks.recommended.register.point_confidence)
    trajectory: list[StampedPose] = []
    clouds: list[MapPoints] = []
    problems: list[str] = []
    seconds, unmatched = 0.0, 0
    last: _View | None = None
    world = Sim3.identity()
    for number, frame in enumerate(sequence.frames):
        try:
            image = sequence.image(frame)
        except SequenceError as error:
            problems.append(str(error))
            continue
        started = time.perf_counter()
        encoded = EncodedFrame.numbered(encoder.encode([Frame(frame.stamp_ns, image)]), number)[0]
        view = _view_of(local_points.estimate([Window(encoded, (encoded,))])[0])
        motion = None if last is None else _motion(last, view)
        unmatched += last is not None and motion is None
        world = world if motion is None else world @ motion
        trajectory.append(StampedPose(frame.stamp_ns, world.pose))
        clouds.append(_cloud(view, world))
        last = view
        seconds += time.perf_counter() - started
    if unmatched:
        problems.append(f"{unmatched} frames could not be matched with the one before and were left where that was")
    return BaselineResult(trajectory, _joined(clouds), seconds, problems)


def _view_of(local: LocalPointmap) -> _View:
    points, confidence = local.points_camera.cpu().numpy(), local.confidence.cpu().numpy()
    return _View(local.frame.image, points.astype(np.float64), confidence, local.valid.cpu().numpy())


def _motion(last: _View, view: _View) -> Sim3 | None:
    """The similarity from this view's points to the last one's; None where too few points can be followed."""
    height, width = view.valid.shape
    grid = np.mgrid[FLOW_STEP // 2 : height : FLOW_STEP, FLOW_STEP // 2 : width : FLOW_STEP].reshape(2, -1).T
    rows, columns = grid[:, 0], grid[:, 1]
    start = np.stack([columns, rows], axis=1).astype(np.float32)[:, None]
    images = [cv2.cvtColor(each.image, cv2.COLOR_RGB2GRAY) for each in (view, last)]
    there, found, _ = cv2.calcOpticalFlowPyrLK(images[0], images[1], start, start.copy(), winSize=FLOW_WINDOW)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(images[1], images[0], there, there.copy(), winSize=FLOW_WINDOW)
    near = np.linalg.norm(back - start, axis=2)[:, 0] < FLOW_RETURN_PX
    to_columns, to_rows = np.rint(there[:, 0]).astype(np.intp).T
    inside = (to_rows >= 0) & (to_rows < height) & (to_columns >= 0) & (to_columns < width)
    good = np.flatnonzero((found[:, 0] == 1) & (returned[:, 0] == 1) & near & inside)
    source, target = (rows[good], columns[good]), (to_rows[good], to_columns[good])
    both = view.valid[source] & last.valid[target]
    if np.count_nonzero(both) < FEWEST_POINTS:
        return None
    weights = view.confidence[source] * last.confidence[target]
    return robust_umeyama(view.points[source][both], last.points[target][both], weights[both])


def _cloud(view: _View, world: Sim3) -> MapPoints:
    chosen = np.flatnonzero(view.valid)
    if len(chosen) > POINTS_PER_FRAME:
        chosen = chosen[np.linspace(0, len(chosen) - 1, POINTS_PER_FRAME).astype(np.intp)]
    points = world.apply(view.points.reshape(-1, 3)[chosen]).astype(np.float32)
    return MapPoints(points, view.image.reshape(-1, 3)[chosen], view.confidence.ravel()[chosen])


def _joined(clouds: list[MapPoints]) -> MapPoints | None:
    if not clouds:
        return None
    return MapPoints(
        np.concatenate([cloud.points_world for cloud in clouds]),
        np.concatenate([cloud.colours for cloud in clouds]),
        np.concatenate([cloud.confidence for cloud in clouds]),
    )

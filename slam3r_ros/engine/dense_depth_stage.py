"""The engine's stage of dense depth: keyframes' whole images get their depths on a thread of their own.

A keyframe is measured when some later keyframes exist, and answered some keyframes after that, so each answer is of an
earlier keyframe than the one that was just mapped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.background_task import BackgroundTask
from slam3r_ros.dense_depth.keyframe_depths import DepthKeyframe, DepthTaskResult, KeyframeDepths
from slam3r_ros.dense_depth.posed_view import DepthMap, PosedView
from slam3r_ros.engine.keyframe_view import KeyframeView, depth_size, pointmap_depths
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.types import RegisteredFrame
from slam3r_ros.vision.tuning import TUNING as VISION_TUNING


@dataclass(frozen=True, slots=True, eq=False)
class DenseView:
    """The answer for one keyframe."""

    first_frame: int
    """Index of the first frame whose points this view stands for: the one after the view before."""
    view: KeyframeView
    """The keyframe's view: with its dense depth, or as it was given where there is none."""
    sigma: NDArray[np.float32] | None
    """(h, w) standard deviations of the logarithms of its depths; None where there is no dense depth: the images
    contradict the poses."""


class DenseDepthStage:
    """Takes the keyframes in their order, and answers those that have a view, in that order."""

    def __init__(self) -> None:
        self._depths = KeyframeDepths()
        self._task: BackgroundTask[DepthTaskResult] = BackgroundTask("dense_depth")
        self._views: dict[int, tuple[KeyframeView, int]] = {}  # by frame, with the first frame: not answered yet
        self._next_frame = 0
        self._ready: list[DenseView] = []  # answers that are there, not taken yet
        self.failure = ""
        """Why the dense depth of a keyframe could not be computed, the last time that it could not; empty until then.
        The keyframe keeps the networks' points."""

    def add(
        self, frame: RegisteredFrame, camera: Camera, view: KeyframeView | None, *, wait: bool, may_start: bool = True
    ) -> Iterator[DenseView]:
        """The next keyframe, with a pose, the camera of its whole image, and its view where it has one; without one it
        serves as a partner of others. Answers of earlier keyframes follow.

        With ``wait`` this waits for the work that the keyframe before has brought, so that answers depend on the frames
        alone. Without it keyframes whose turn has not come when others need their room have no dense depth.
        ``may_start``: whether work that is due is begun now.
        """
        yield from self.take(wait=wait, may_start=False)
        encoded = frame.local.frame
        if encoded.working is None or frame.pose is None:
            return
        prior = None
        if view is not None:
            self._views[frame.index] = view, self._next_frame
            self._next_frame = frame.index + 1
            known = pointmap_depths(frame, 0.0)
            sigma = VISION_TUNING.confidence_times_error / np.maximum(known.confidence, np.float32(1e-6))
            prior = DepthMap(known.depth, np.where(np.isfinite(known.depth), sigma, np.float32(np.inf)))
        posed = _posed_view(encoded.working.grey, camera, frame.pose.T_world_camera)
        dropped = self._depths.add(DepthKeyframe(frame.index, posed, prior))
        if dropped is not None:
            self._ready.append(self._answer(dropped, None))
        if may_start:
            self._start(ended=False)

    def take(self, *, wait: bool, may_start: bool) -> Iterator[DenseView]:
        """The answers that the work in progress gives; without ``wait`` none until it is done. With ``may_start`` and
        without ``wait`` the next work that is due begins."""
        self._finish(wait=wait)
        if may_start and not wait:
            self._start(ended=False)
        ready, self._ready = self._ready, []
        yield from ready

    def flush(self) -> Iterator[DenseView]:
        """The answers of all keyframes that wait for later ones; these never come."""
        yield from self.take(wait=True, may_start=False)
        while self._start(ended=True):
            yield from self.take(wait=True, may_start=False)

    def correct(self, correction: MapCorrection) -> None:
        """Move everything as a closed loop says; this waits for the work in progress."""
        self._finish(wait=True)
        self._ready = [replace(each, view=each.view.corrected(correction)) for each in self._ready]
        self._depths.move(lambda keyframe: _corrected(keyframe, correction))
        self._views = {frame: (view.corrected(correction), first) for frame, (view, first) in self._views.items()}

    def _finish(self, *, wait: bool) -> None:
        """Take the result of the work in progress; without ``wait`` only if it is done."""
        if not self._task.is_pending or (self._task.is_running and not wait):
            return
        result = self._task.result()
        self.failure = result.failure or self.failure
        self._depths.take(result)
        if result.finished is not None:
            self._ready.append(self._answer(result.finished, result.depth))

    def _start(self, *, ended: bool) -> bool:
        """Begin the work that is due, if any and none is in progress; whether there is some."""
        if self._task.is_pending:
            return True
        task = self._depths.next_task(ended=ended)
        if task is not None:
            self._task.start(task.run)
        return task is not None

    def _answer(self, keyframe: DepthKeyframe, depth: DepthMap | None) -> DenseView:
        view, first = self._views.pop(keyframe.number)
        if depth is None:
            return DenseView(first, view, None)
        confidence = VISION_TUNING.confidence_times_error / depth.sigma
        return DenseView(first, replace(view, depth=depth.depth, confidence=confidence), depth.sigma)


def _posed_view(grey: NDArray[np.uint8], camera: Camera, T_world_camera: NDArray[np.float64]) -> PosedView:
    """A whole image at the size of its depth image."""
    height, width = depth_size(*grey.shape)
    small = np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return PosedView(small, camera.scaled(width, height).matrix, T_world_camera)


def _corrected(keyframe: DepthKeyframe, correction: MapCorrection) -> DepthKeyframe:
    change = correction.of_frames(np.array([keyframe.number]))
    T = change.apply_to_pose(keyframe.view.T_world_camera[None])[0]
    scale = np.float32(change.scale[0])

    def scaled(depth_map: DepthMap | None) -> DepthMap | None:
        return None if depth_map is None else replace(depth_map, depth=depth_map.depth * scale)

    return replace(
        keyframe,
        view=keyframe.view.placed(T),
        prior=scaled(keyframe.prior),
        measured=scaled(keyframe.measured),
    )

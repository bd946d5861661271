"""Dense depth of a stream of keyframes: measured when some later keyframes exist, then compared with its neighbours.

The work on one keyframe is a function of a snapshot, which another thread may run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.dense_depth.consistency import DepthView, consistent_depth
from slam3r_ros.dense_depth.edges import without_flying_pixels
from slam3r_ros.dense_depth.epipolar_check import corners_of, epipolar_error
from slam3r_ros.dense_depth.estimation import dense_depth
from slam3r_ros.dense_depth.partners import choose_partners
from slam3r_ros.dense_depth.posed_view import DepthMap, PosedView
from slam3r_ros.dense_depth.prior import filled
from slam3r_ros.dense_depth.tuning import TUNING

_FAILURES = (RuntimeError, ValueError, MemoryError, cv2.error)
"""What NumPy and OpenCV raise, as where the memory is full."""


@dataclass(frozen=True, slots=True, eq=False)
class DepthKeyframe:
    """A keyframe whose dense depth is wanted, or that serves as a partner of others."""

    number: int
    """A number by which the caller knows it."""
    view: PosedView
    """Its image, at the size of the depth image, its camera and its pose."""
    prior: DepthMap | None
    """(H, W) what the networks say of its depths, NaN where they say nothing; None where no dense depth is wanted."""
    measured: DepthMap | None = None
    """What its partners tell; None until it has been measured."""
    is_answered: bool = False
    """Whether its dense depth has been given."""

    @property
    def is_wanted(self) -> bool:
        """Whether its dense depth is wanted still."""
        return self.prior is not None and not self.is_answered


@dataclass(frozen=True, slots=True, eq=False)
class DepthTask:
    """The work that a new keyframe brings, on a snapshot of the keyframes."""

    keyframes: tuple[DepthKeyframe, ...]
    """In the order in which they were made."""
    measured: int | None
    """Position of the keyframe that is to be measured."""
    finished: int | None
    """Position of the keyframe that is to be compared with its neighbours and answered."""

    def run(self) -> DepthTaskResult:
        """Do the work. Where it fails, the keyframe keeps what the networks say, and the result tells."""
        keyframes, measured, finished, depth, failure = list(self.keyframes), None, None, None, ""
        if self.measured is not None:
            own = keyframes[self.measured]
            try:
                measured = replace(own, measured=measure(keyframes, self.measured))
            except _FAILURES as error:
                measured, failure = replace(own, measured=own.prior), _said(error)
            keyframes[self.measured] = measured
        if self.finished is not None:
            finished = replace(keyframes[self.finished], is_answered=True)
            try:
                depth = finish(keyframes, self.finished)
            except _FAILURES as error:
                failure = _said(error)
        return DepthTaskResult(measured, finished, depth, failure)


@dataclass(frozen=True, slots=True, eq=False)
class DepthTaskResult:
    """What a task has found."""

    measured: DepthKeyframe | None
    """The keyframe that was measured, with that."""
    finished: DepthKeyframe | None
    """The keyframe that `depth` is of."""
    depth: DepthMap | None
    """Its dense depth; None where the images contradict the poses, so that nothing dense can be said."""
    failure: str = ""
    """Why work on a keyframe has failed, in one sentence; empty where it has not."""


class KeyframeDepths:
    """The keyframes that dense depth may still need, at most `TUNING.remembered_keyframes`, and what is due."""

    def __init__(self) -> None:
        self._keyframes: list[DepthKeyframe] = []

    def add(self, keyframe: DepthKeyframe) -> DepthKeyframe | None:
        """The next keyframe; returns the one that there is no room for any more, if its depth was wanted still."""
        self._keyframes.append(keyframe)
        oldest = self._keyframes.pop(0) if len(self._keyframes) > TUNING.remembered_keyframes else None
        return oldest if oldest is not None and oldest.is_wanted else None

    def next_task(self, *, ended: bool) -> DepthTask | None:
        """The work that is due now, after a keyframe was added or, with ``ended``, once no other will come.

        One keyframe is measured at a time, the oldest first, and one answered, once its later neighbours have been
        measured.
        """
        keyframes, later = self._keyframes, 0 if ended else TUNING.later_keyframes
        wanted = [position for position, keyframe in enumerate(keyframes) if keyframe.is_wanted]
        unmeasured = [position for position in wanted if keyframes[position].measured is None]
        measured = next((each for each in unmeasured if each < len(keyframes) - later), None)
        open_ones = [position for position in unmeasured if position != measured]
        finished = wanted[0] if wanted else None
        neighbours = wanted[1 : 1 + TUNING.later_neighbours]
        if not ended and len(neighbours) < TUNING.later_neighbours:
            finished = None
        if set(open_ones) & {finished, *neighbours}:
            finished = None
        if measured is None and finished is None:
            return None
        return DepthTask(tuple(keyframes), measured, finished)

    def take(self, result: DepthTaskResult) -> None:
        """What the task has found. It is to be taken before the next task is asked for."""
        for found in (result.measured, result.finished):
            for position, keyframe in enumerate(self._keyframes):
                if found is not None and keyframe.number == found.number:
                    self._keyframes[position] = replace(
                        keyframe, measured=found.measured, is_answered=keyframe.is_answered or found.is_answered
                    )

    def move(self, moved: Callable[[DepthKeyframe], DepthKeyframe]) -> None:
        """Replace every keyframe: the world has moved."""
        self._keyframes = [moved(keyframe) for keyframe in self._keyframes]


def measure(keyframes: Sequence[DepthKeyframe], number: int) -> DepthMap:
    """What its partners tell of a keyframe: of those whose poses agree with the images."""
    own = keyframes[number]
    assert own.prior is not None
    corners = corners_of(own.view)
    partners = [
        keyframes[other].view
        for other in partners_of(keyframes, number)
        if epipolar_error(own.view, corners, keyframes[other].view, own.prior.depth) < TUNING.max_epipolar_share
    ]
    return dense_depth(own.view, partners, own.prior.depth)


def finish(keyframes: Sequence[DepthKeyframe], number: int) -> DepthMap | None:
    """The dense depth of a keyframe that has been measured, with the neighbours that have been, too.

    None where too little of it is consistent: then its pose, or those around it, are wrong.
    """
    own = keyframes[number]
    assert own.measured is not None and own.prior is not None
    neighbours = [
        DepthView(other.view, other.measured)
        for other in (keyframes[position] for position in partners_of(keyframes, number, TUNING.neighbours))
        if other.measured is not None
    ]
    consistent = consistent_depth(DepthView(own.view, own.measured), neighbours)
    sharp = without_flying_pixels(consistent)
    if np.mean(sharp.is_known) < TUNING.min_consistent_share:
        return None
    return without_flying_pixels(filled(sharp, own.prior.only(~_around(own.measured.is_known & ~sharp.is_known))))


def _said(error: BaseException) -> str:
    return f"a keyframe has no dense depth: {type(error).__name__}: {error}"


def _around(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W) these pixels and their neighbours. What was measured there was refused, mostly at depth edges, which the
    networks blur: their depths would float between foreground and background."""
    return np.asarray(cv2.dilate(pixels.astype(np.uint8), np.ones((3, 3), np.uint8))) > 0


def partners_of(keyframes: Sequence[DepthKeyframe], number: int, count: int = TUNING.partners) -> list[int]:
    """Positions of the keyframes that one is best compared with."""
    near = [
        other
        for other in range(max(number - TUNING.reach, 0), min(number + TUNING.reach + 1, len(keyframes)))
        if other != number
    ]
    own = keyframes[number]
    assert own.prior is not None
    chosen = choose_partners(own.view, [keyframes[other].view for other in near], own.prior.depth, count)
    return [near[position] for position in chosen]

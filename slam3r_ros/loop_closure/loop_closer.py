"""Loops: the camera comes back to where it has been, and what has drifted on the way is put right.

Keyframes of the image tracks that look elsewhere than the last one are remembered as places. A new one is compared with
earlier ones that look alike; where two comparisons agree on how far the world has drifted in between, the chain of
places is bent until it closes (`pose_graph`).
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.place import UNKNOWN_DEVIATION, LoopConstraint, Place, PlaceView, loop_between, place_of
from slam3r_ros.loop_closure.pose_graph import Edges, optimised

LEAST_MOTION = 0.1
"""From one place to the next: turn in radians and shift in depths together."""
APART = 10
"""Places between two that may close a loop: nearer ones are in the tracks' window, or were until just now."""
COMPARED = 4
"""So many places, those that look most alike, are compared with a new one."""
CONFIRMED_WITHIN = 10
"""Places within which a second loop has to say the same as the first."""
ALIKE = (0.15, 0.25, 0.3)
"""Most that the corrections of two loops may differ by: turn, radians; shift, depths; logarithm of the scale."""
WORTH_CLOSING = (0.01, 0.03, 0.05)
"""The same of what a loop, or all of them, would correct at the newest place, up to which all stays as it is."""
REST = 10
"""Places from one closing to the next, and those that are not compared after one that is where it should be."""
MOST_LOOPS = 200
"""Remembered; what was closed by older ones stays closed."""
TURN_DEVIATIONS = (0.003, 0.1)
"""Of the turn between successive places, radians: at least, and as a share of it."""
SHIFT_DEVIATIONS = (0.005, 0.1)
"""Of the shift: at least, depths, and as a share of it."""
CHAIN_SCALE_DEVIATION = 0.02
"""Of the logarithm of their lengths."""
BROKEN = 10.0
"""Times as much where the tracks had lost the camera in between."""
LOOP_TURN_DEVIATION = 0.03
"""Of a loop, radians."""


@dataclass(frozen=True, slots=True, eq=False)
class _SearchResult:
    """What came of a search."""

    place: Place
    loops: list[LoopConstraint]


@dataclass(frozen=True, slots=True, eq=False)
class Relocalization:
    """Where a frame is by the places remembered."""

    T_world_camera: Array
    """(4, 4)"""
    log_scale: float | None
    """Of the world's length of one of the frame's own; None where it is not known."""


class LoopCloser:
    """Takes the keyframes in their order. The search for one runs beside the frames that follow it and is waited for
    when the next one comes: what is found does not depend on how fast the machine is.

    Bounded: of more than ``most_places`` every second one is forgotten, but for the newest.
    """

    def __init__(self, most_places: int) -> None:
        self._most = max(most_places, 2 * APART)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="loops")
        self.failure = ""
        """What to tell of the last search that failed; empty if none has."""
        self.reset()

    def reset(self) -> None:
        """Forget all places."""
        self._searching: Future[_SearchResult] | None = None
        self._places: list[Place] = []
        self._nodes = Sim3.empty()
        self._measured = Sim3.empty()  # (P - 1,) from each place to the next
        self._deviations: Array = np.empty((0, 7))
        self._loops: list[LoopConstraint] = []
        self._unconfirmed: list[LoopConstraint] = []
        self._is_broken = self._offered_is_broken = False
        self._has_news = False
        self._since_closing, self._at_rest = REST, 0

    def lose(self) -> None:
        """The tracks lost the camera: the way to the place offered next is not to be relied on."""
        self._is_broken = True

    def offer(self, view: PlaceView) -> None:
        """Remember a keyframe, and look where else it was seen; one that comes before `collect`, or shows much the same
        as the last place, is passed over."""
        if self._searching is not None or not self._is_elsewhere(view.T_world_camera):
            return
        is_compared = self._at_rest == 0 and len(self._places) > APART
        earlier = list(self._places[:-APART]) if is_compared else []
        self._at_rest = max(0, self._at_rest - 1)
        self._searching = self._executor.submit(_search, view, earlier)
        self._offered_is_broken, self._is_broken = self._is_broken, False

    def _is_elsewhere(self, T_world_camera: Array) -> bool:
        """Whether a camera looks elsewhere than at the last place."""
        if not self._places:
            return True
        between = (self._nodes[-1:].inverse() @ Sim3.from_pose(T_world_camera[None])).as_vector()[0]
        depth = self._places[-1].depth
        return float(np.linalg.norm(between[:3]) + np.linalg.norm(between[3:6]) / depth) >= LEAST_MOTION

    def collect(self) -> MapCorrection | None:
        """Wait for the search and take note of what it found; how the world is to be corrected, if it is.

        A keyframe whose search failed is passed over, and `failure` says why.
        """
        searching, self._searching = self._searching, None
        if searching is None:
            return None
        if (found := self._result_of(searching)) is None:
            self._is_broken |= self._offered_is_broken
            return None
        self._append(found.place)
        for loop in found.loops:
            self._note(loop)
        self._since_closing += 1
        is_full = len(self._places) > self._most
        correction = self._close() if self._has_news and (is_full or self._since_closing >= REST) else None
        if len(self._loops) > MOST_LOOPS:
            self._settle()
            self._loops = self._loops[len(self._loops) // 2 :]
        if is_full:  # not before: loops that are to be closed lead to places that go
            self._thin_out()
        return correction

    def relocate(self, view: PlaceView) -> Relocalization | None:
        """Where a keyframe is whose points are in its own axes and lengths, by the places that look like it; None where
        none shows the same, or where looking for one failed, and `failure` says why."""
        found = self._result_of(self._executor.submit(_search, view, self._places))
        if found is None or not found.loops:
            return None
        best = max(found.loops, key=lambda loop: loop.matches)
        position = self._positions()[best.before]
        node = self._nodes[position : position + 1]
        T_world_camera = node.apply_to_pose(best.T_before_after[None])[0]
        is_known = best.log_scale_deviation < UNKNOWN_DEVIATION
        log_scale = best.log_scale + float(np.log(node.scale[0])) if is_known else None
        return Relocalization(T_world_camera, log_scale)

    def _result_of(self, searching: Future[_SearchResult]) -> _SearchResult | None:
        """What came of a search, waited for; None where it failed, which `failure` then tells."""
        if (error := searching.exception()) is None:
            return searching.result()
        self.failure = f"a keyframe could not be compared with earlier ones: {type(error).__name__}: {error}"
        return None

    def _append(self, place: Place) -> None:
        """The newest place, mapped where the world is now."""
        node = Sim3.from_pose(place.T_world_camera[None])
        if self._places:
            measured = self._nodes[-1:].inverse() @ node
            turn, shift = np.linalg.norm(measured.as_vector()[0, :3]), np.linalg.norm(measured.translation[0])
            deviations = np.repeat(
                [
                    TURN_DEVIATIONS[0] + TURN_DEVIATIONS[1] * turn,
                    SHIFT_DEVIATIONS[0] * place.depth + SHIFT_DEVIATIONS[1] * shift,
                    CHAIN_SCALE_DEVIATION,
                ],
                [3, 3, 1],
            )
            self._measured = Sim3.concatenate([self._measured, measured])
            self._deviations = np.vstack([self._deviations, deviations * (BROKEN if self._offered_is_broken else 1.0)])
        self._nodes = Sim3.concatenate([self._nodes, node])
        self._places.append(place)

    def _note(self, loop: LoopConstraint) -> None:
        """Believe a loop that says what another one has said lately, be it one of the same place; else wait for one."""
        positions = self._positions()
        oldest = len(self._places) - 1 - CONFIRMED_WITHIN
        recent = [
            each
            for each in [*self._unconfirmed, *self._loops]
            if each.before in positions and positions.get(each.after, -1) >= oldest
        ]
        agreeing = [each for each in recent if self._agree(loop, each, positions)]
        self._unconfirmed = [each for each in self._unconfirmed if each in recent and each not in agreeing]
        if not agreeing:
            self._unconfirmed.append(loop)
            return
        self._loops = [*self._loops, *(each for each in agreeing if each not in self._loops), loop]
        node = self._nodes[positions[loop.after] : positions[loop.after] + 1]
        if _is_within(self._corrected_by(loop, positions), node, loop.depth, WORTH_CLOSING):
            self._at_rest = REST
        else:
            self._has_news = True

    def _agree(self, one: LoopConstraint, other: LoopConstraint, positions: dict[int, int]) -> bool:
        """Whether two loops correct what is seen from the first's later place alike."""
        difference = self._corrected_by(one, positions).inverse() @ self._corrected_by(other, positions)
        position = positions[one.after]
        node = self._nodes[position : position + 1]
        return _is_within(difference, node, one.depth, ALIKE)

    def _corrected_by(self, loop: LoopConstraint, positions: dict[int, int]) -> Sim3:
        """(1,) how the world around a loop's later place would move if that loop alone were closed."""
        before, after = (self._nodes[p : p + 1] for p in (positions[loop.before], positions[loop.after]))
        return before @ _measured_by([loop]) @ after.inverse()

    def _close(self) -> MapCorrection | None:
        """Bend the chain until the loops close."""
        self._has_news, self._since_closing = False, 0
        positions, count = self._positions(), len(self._places)
        first = np.arange(count - 1)
        chain = Edges(first, first + 1, self._measured, self._deviations)
        loops = [loop for loop in self._loops if loop.before in positions and loop.after in positions]
        deviations = np.array(
            [[LOOP_TURN_DEVIATION] * 3 + [loop.shift_deviation] * 3 + [loop.log_scale_deviation] for loop in loops]
        )
        ends = np.array([(positions[loop.before], positions[loop.after]) for loop in loops]).T
        closing = Edges(ends[0], ends[1], _measured_by(loops), deviations)
        nodes = optimised(self._nodes, chain, closing)
        moved = nodes @ self._nodes.inverse()
        if _is_within(moved[-1:], self._nodes[-1:], self._places[-1].depth, WORTH_CLOSING):
            return None
        self._nodes = nodes
        return MapCorrection(np.array([place.index for place in self._places]), moved)

    def _thin_out(self) -> None:
        """Forget every second of the older places; the rest of the chain as it is believed now."""
        count = len(self._places)
        kept = np.array([p for p in range(count) if p % 2 == 0 or p >= count - APART], np.intp)
        sums = np.concatenate([np.zeros((1, 7)), np.cumsum(self._deviations**2, axis=0)])
        self._deviations = np.sqrt(np.diff(sums[kept], axis=0))
        self._places = [self._places[p] for p in kept]
        self._nodes = self._nodes[kept]
        self._settle()
        left = {place.index for place in self._places}
        self._loops = [loop for loop in self._loops if loop.before in left and loop.after in left]

    def _settle(self) -> None:
        """Take the chain as it is now for measured: what was closed stays so without its loops."""
        self._measured = self._nodes[:-1].inverse() @ self._nodes[1:]

    def _positions(self) -> dict[int, int]:
        """Of places by the index of their frame."""
        return {place.index: position for position, place in enumerate(self._places)}


def _search(view: PlaceView, earlier: list[Place]) -> _SearchResult:
    """The place of a keyframe, and loops from earlier ones that look like it."""
    place = place_of(view)
    loops = [loop_between(candidate, place) for candidate in most_alike(place.descriptor, earlier, COMPARED)]
    return _SearchResult(place, [loop for loop in loops if loop is not None])


def most_alike(descriptor: NDArray[np.float32], places: list[Place], count: int) -> list[Place]:
    """The places whose descriptors are most like one, the best first, by how they differ from what all have in
    common."""
    if not places:
        return []
    described = np.stack([place.descriptor for place in places]).astype(np.float64)
    common = described.mean(axis=0)
    apart, wanted = described - common, descriptor - common
    lengths = np.linalg.norm(apart, axis=1) * np.linalg.norm(wanted)
    order = np.argsort(-(apart @ wanted) / np.maximum(lengths, 1e-12), kind="stable")
    return [places[position] for position in order[:count]]


def _measured_by(loops: list[LoopConstraint]) -> Sim3:
    """(L,) that take the later places' points to the earlier ones."""
    rigid = Sim3.from_pose(np.stack([loop.T_before_after for loop in loops]))
    return Sim3(np.exp([loop.log_scale for loop in loops]), rigid.rotation, rigid.translation)


def _is_within(change: Sim3, node: Sim3, depth: float, limits: tuple[float, float, float]) -> bool:
    """Whether a change of the world (1,), as a camera (1,) sees it, is no more than a turn, a shift in depths and a
    scale."""
    vector = (node.inverse() @ change @ node).as_vector()[0]
    sizes = (np.linalg.norm(vector[:3]), np.linalg.norm(vector[3:6]) / depth, abs(vector[6]))
    return all(size <= limit for size, limit in zip(sizes, limits, strict=True))

"""Loop closure: place recognition, verification and pose-graph optimization, which correct the drift of odometry.

Keyframes of visual odometry that look elsewhere than the last one become places. A new place is compared with the most
similar earlier ones; where two verified loops agree on how far the world has drifted in between, the pose graph is
optimized.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.background_task import BackgroundTask
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.place import Place, PlaceView, describe_place
from slam3r_ros.loop_closure.pose_graph import Edges, optimize_pose_graph
from slam3r_ros.loop_closure.tuning import TUNING
from slam3r_ros.loop_closure.verification import LoopConstraint, verify_loop


@dataclass(frozen=True, slots=True, eq=False)
class _SearchResult:
    """The place of a keyframe and the loops that were verified for it."""

    place: Place
    """The keyframe's place."""
    loops: list[LoopConstraint]
    """Loops from earlier places to it."""


@dataclass(frozen=True, slots=True, eq=False)
class Relocalization:
    """The pose of a frame in which tracking was lost, by place recognition."""

    T_world_camera: Array
    """(4, 4) pose of the frame."""
    log_scale: float | None
    """Logarithm of the world's length of one unit of the frame's own points; None where it is not known."""


class LoopCloser:
    """Recognises places that the camera comes back to, and corrects the world by the loops closed there.

    It takes the keyframes in their order. The search for loops to one, and the optimization of the pose graph, run in
    the background of the frames that follow and are waited for when the next keyframe comes: what is found does not
    depend on the machine's speed. While that runs, the places and the pose graph belong to the background thread; what
    `relocalize` knows is what the last `collect` has left. Of more than ``most_places`` places every second one is
    forgotten, but for the newest.
    """

    def __init__(self, most_places: int) -> None:
        self._most = max(most_places, 2 * TUNING.min_places_apart)
        self._work: BackgroundTask[MapCorrection | None] = BackgroundTask("loop_closure")
        self._relocalization: BackgroundTask[_SearchResult] = BackgroundTask("relocalization")
        self.failure = ""
        """Message about the last search that failed; empty if none has."""
        self._places: list[Place] = []
        self._nodes = Sim3.empty()
        self._measured = Sim3.empty()  # (P - 1,) from each place to the next
        self._sigmas: Array = np.empty((0, 7))
        self._loops: list[LoopConstraint] = []
        self._unconfirmed: list[LoopConstraint] = []
        self._was_lost = self._offered_was_lost = False
        self._has_news = False
        self._since_correction, self._rest = TUNING.places_between_corrections, 0
        self._known: tuple[Sequence[Place], Sim3] = ((), self._nodes)  # places and their nodes as the world is now
        # The places of an earlier session are the first ones; how many, and which frame is the first after them.
        self._earlier_count = self._first_frame = 0
        self._is_joined = True
        self.is_localized = True
        """Whether poses are in the world of the places that `begin_from` was given; True where it was given none."""
        self.newest: tuple[Place, Sim3] | None = None
        """The place that the last `collect` has brought, with its node (1,) in the world as it is now; None where it
        has brought none."""
        self._keeps_earlier = False

    def begin_from(self, places: Sequence[Place], nodes: Sim3, first_frame: int, *, keeps_places: bool) -> None:
        """Begin with the places of an earlier session and their nodes (P,); to be called before the first `offer`.

        Frames from ``first_frame`` on are in a world of their own until two loops to these places agree: the correction
        that `collect` then returns takes them into the earlier session's world. With ``keeps_places`` the earlier
        places stay where they are, and every later correction moves the new frames alone.
        """
        self._places, self._nodes = list(places), nodes
        self._measured = nodes[:-1].inverse() @ nodes[1:]
        sigmas = [self._chain_sigmas(self._measured[p : p + 1], places[p].depth) for p in range(len(places) - 1)]
        self._sigmas = np.array(sigmas).reshape(-1, 7)
        self._earlier_count, self._first_frame, self._keeps_earlier = len(places), first_frame, keeps_places
        self._is_joined = self.is_localized = not places
        if len(self._places) > self._most:
            self._thin_out()
        self._known = (tuple(self._places), self._nodes)

    @property
    def place_count(self) -> int:
        """Number of places that are remembered, as the last `collect` has left them."""
        return len(self._known[0])

    def lose(self) -> None:
        """Say that tracking was lost: the motion to the place offered next is uncertain."""
        self._was_lost = True

    def offer(self, view: PlaceView) -> None:
        """Make a keyframe a place and search for loops to it. One that comes before `collect`, or that shows much the
        same as the last place, is passed over."""
        if self._work.is_pending or not self._is_elsewhere(view.T_world_camera):
            return
        compared = max(self._earlier_count, len(self._places) - TUNING.min_places_apart)
        earlier = list(self._places[: max(0, compared)]) if self._rest == 0 else []
        self._rest = max(0, self._rest - 1)
        self._offered_was_lost, self._was_lost = self._was_lost, False
        self._work.start(self._close_loops, view, earlier)

    def _is_elsewhere(self, T_world_camera: Array) -> bool:
        """Whether a camera looks elsewhere than at the last place."""
        if not self._places or (len(self._places) == self._earlier_count and not self._is_joined):
            return True
        between = (self._nodes[-1:].inverse() @ Sim3.from_pose(T_world_camera[None])).as_vector()[0]
        depth = self._places[-1].depth
        return float(np.linalg.norm(between[:3]) + np.linalg.norm(between[3:6]) / depth) >= TUNING.min_place_motion

    @property
    def is_searching(self) -> bool:
        """Whether `collect` would have to wait."""
        return self._work.is_running

    def collect(self) -> MapCorrection | None:
        """Wait for the search; return how the world is to be corrected, if it is.

        A keyframe whose search failed is passed over, and `failure` says why.
        """
        correction, self.newest = None, None
        if not self._work.is_pending:
            return None
        if (error := self._work.exception()) is None:
            correction = self._work.result()
            self.newest = (self._places[-1], self._nodes[-1:])
        else:
            self._work.drop()
            self._note_failure(error)
            self._was_lost |= self._offered_was_lost
        self._known, self.is_localized = (tuple(self._places), self._nodes), self._is_joined
        return correction

    def correct(self, correction: MapCorrection) -> None:
        """Move the pose graph with a correction of the map that does not come from here. Raises RuntimeError while a
        search is under way."""
        if self._work.is_pending:
            raise RuntimeError("loop closure: the map cannot be corrected while a loop is searched for")
        if self._places:
            moved = correction.of_frames(np.array([place.index for place in self._places]))
            self._nodes = moved @ self._nodes
            if len(correction.indices) > 1:
                self._freeze_chain()
            self._known = (tuple(self._places), self._nodes)

    def _close_loops(self, view: PlaceView, earlier: list[Place]) -> MapCorrection | None:
        """Add a keyframe and the loops to it to the pose graph, in the background; how the world is to be corrected."""
        found = _search(view, earlier, TUNING.compared_places if self._is_joined else TUNING.compared_to_localize)
        self._append(found.place)
        for loop in found.loops:
            self._add_loop(loop)
        self._since_correction += 1
        is_full = len(self._places) > self._most
        is_due = is_full or self._since_correction >= TUNING.places_between_corrections
        correction = None
        if not self._is_joined or self._keeps_earlier:
            correction = self._join()
        elif self._has_news and is_due:
            correction = self._optimize()
        if len(self._loops) > TUNING.max_loops:
            self._freeze_chain()
            self._loops = self._loops[len(self._loops) // 2 :]
        if is_full:  # not before: loops that are to be closed lead to places that go
            self._thin_out()
        return correction

    def relocalize(self, view: PlaceView) -> Relocalization | None:
        """The pose of a keyframe whose points are in its own axes and lengths, by the places similar to it.

        None where no place shows the same, or where the search failed, and `failure` says why.
        """
        places, nodes = self._known
        if not self.is_localized:  # the earlier places are in another world
            places, nodes = places[self._earlier_count :], nodes[self._earlier_count :]
        self._relocalization.start(_search, view, places, TUNING.compared_places)
        if (error := self._relocalization.exception()) is not None:
            self._relocalization.drop()
            self._note_failure(error)
            return None
        loops = self._relocalization.result().loops
        if not loops:
            return None
        best = max(loops, key=lambda loop: loop.matches)
        position = [place.index for place in places].index(best.before)
        node = nodes[position : position + 1]
        T_world_camera = node.apply_to_pose(best.T_before_after[None])[0]
        is_known = best.log_scale_sigma < TUNING.unknown_scale_sigma
        log_scale = best.log_scale + float(np.log(node.scale[0])) if is_known else None
        return Relocalization(T_world_camera, log_scale)

    def _note_failure(self, error: BaseException) -> None:
        self.failure = f"a keyframe could not be compared with earlier ones: {type(error).__name__}: {error}"

    def _append(self, place: Place) -> None:
        """Append the newest place, with its edge from the one before, to the pose graph."""
        node = Sim3.from_pose(place.T_world_camera[None])
        if self._places:
            measured = self._nodes[-1:].inverse() @ node
            sigmas = self._chain_sigmas(measured, place.depth)
            sigmas *= TUNING.lost_sigma_factor if self._offered_was_lost else 1.0
            if len(self._places) == self._earlier_count:  # the two sessions are not connected
                sigmas[:] = TUNING.session_gap_sigma
            self._measured = Sim3.concatenate([self._measured, measured])
            self._sigmas = np.vstack([self._sigmas, sigmas])
        self._nodes = Sim3.concatenate([self._nodes, node])
        self._places.append(place)

    @staticmethod
    def _chain_sigmas(measured: Sim3, depth: float) -> Array:
        """(7,) standard deviations of a measured step (1,) between places."""
        vector = measured.as_vector()[0]
        rotation, translation = float(np.linalg.norm(vector[:3])), float(np.linalg.norm(vector[3:6]))
        parts = [
            TUNING.chain_rotation_sigma[0] + TUNING.chain_rotation_sigma[1] * rotation,
            TUNING.chain_translation_sigma[0] * depth + TUNING.chain_translation_sigma[1] * translation,
            TUNING.chain_scale_sigma,
        ]
        return np.repeat(parts, [3, 3, 1])

    def _join(self) -> MapCorrection | None:
        """Take the new frames into the world of the earlier places by the loops to these that agree; None where there
        are none, where none knows the scale, or where they are there already."""
        positions, count = self._positions(), self._earlier_count
        newest = len(self._places) - 1 - TUNING.confirmed_within
        joining = [
            loop
            for loop in self._loops
            if positions.get(loop.before, count) < count <= positions.get(loop.after, -1)
            and positions[loop.after] >= newest
            and loop.log_scale_sigma < TUNING.unknown_scale_sigma
        ]
        is_confirmed = self._is_joined or len({loop.after for loop in joining}) > 1
        if not joining or not is_confirmed or not self._has_news:
            return None
        self._has_news, self._since_correction = False, 0
        best = max(joining, key=lambda loop: loop.matches)
        node = self._nodes[positions[best.after] : positions[best.after] + 1]
        change = self._corrected_by(best, positions)
        apart = [node.inverse() @ change.inverse() @ self._corrected_by(loop, positions) @ node for loop in joining]
        mean = Sim3.exp(np.mean([each.log()[0] for each in apart], axis=0)[None])
        change = change @ node @ mean @ node.inverse()
        if self._is_joined and _is_within(change, self._nodes[-1:], self._places[-1].depth, TUNING.min_correction):
            return None
        self._nodes = Sim3.concatenate([self._nodes[:count], change @ self._nodes[count:]])
        self._measured = Sim3.concatenate(
            [
                self._measured[: count - 1],
                self._nodes[count - 1 : count].inverse() @ self._nodes[count : count + 1],
                self._measured[count:],
            ]
        )
        self._is_joined = True
        frames = np.array([min(self._places[0].index, self._first_frame - 1), self._first_frame])
        ends = np.array([(loop.before, loop.after) for loop in joining], np.int64)
        return MapCorrection(frames, Sim3.concatenate([Sim3.from_pose(np.eye(4)[None]), change]), ends, joins=True)

    def _add_loop(self, loop: LoopConstraint) -> None:
        """Believe a loop that agrees with a recent one, be it one to the same place; else keep it until one agrees."""
        positions = self._positions()
        oldest = len(self._places) - 1 - TUNING.confirmed_within
        recent = [
            each
            for each in [*self._unconfirmed, *self._loops]
            if each.before in positions and positions.get(each.after, -1) >= oldest
        ]
        agreeing = [each for each in recent if self._do_agree(loop, each, positions)]
        self._unconfirmed = [each for each in self._unconfirmed if each in recent and each not in agreeing]
        if not agreeing:
            self._unconfirmed.append(loop)
            return
        self._loops = [*self._loops, *(each for each in agreeing if each not in self._loops), loop]
        node = self._nodes[positions[loop.after] : positions[loop.after] + 1]
        if _is_within(self._corrected_by(loop, positions), node, loop.depth, TUNING.min_correction):
            self._rest = TUNING.places_between_corrections
        else:
            self._has_news = True

    def _do_agree(self, one: LoopConstraint, other: LoopConstraint, positions: dict[int, int]) -> bool:
        """Whether two loops correct what is seen from the first loop's later place alike."""
        difference = self._corrected_by(one, positions).inverse() @ self._corrected_by(other, positions)
        position = positions[one.after]
        node = self._nodes[position : position + 1]
        return _is_within(difference, node, one.depth, TUNING.agreeing_loops)

    def _corrected_by(self, loop: LoopConstraint, positions: dict[int, int]) -> Sim3:
        """(1,) how the world around a loop's later place would move if that loop alone were closed."""
        before, after = (self._nodes[p : p + 1] for p in (positions[loop.before], positions[loop.after]))
        return before @ _measurements([loop]) @ after.inverse()

    def _optimize(self) -> MapCorrection | None:
        """Optimize the pose graph; the correction of the world, or None where it is too small to matter."""
        self._has_news, self._since_correction = False, 0
        positions, count = self._positions(), len(self._places)
        first = np.arange(count - 1)
        chain = Edges(first, first + 1, self._measured, self._sigmas)
        loops = [loop for loop in self._loops if loop.before in positions and loop.after in positions]
        sigmas = np.array(
            [[TUNING.loop_rotation_sigma] * 3 + [loop.translation_sigma] * 3 + [loop.log_scale_sigma] for loop in loops]
        )
        ends = np.array([(positions[loop.before], positions[loop.after]) for loop in loops]).T
        closing = Edges(ends[0], ends[1], _measurements(loops), sigmas)
        nodes = optimize_pose_graph(self._nodes, chain, closing)
        moved = nodes @ self._nodes.inverse()
        if _is_within(moved[-1:], self._nodes[-1:], self._places[-1].depth, TUNING.min_correction):
            return None
        self._nodes = nodes
        joined = np.array([(loop.before, loop.after) for loop in loops], np.int64).reshape(-1, 2)
        return MapCorrection(np.array([place.index for place in self._places]), moved, joined)

    def _thin_out(self) -> None:
        """Forget every second of the older places, and freeze the chain of the others as it is now."""
        count = len(self._places)
        kept = np.array([p for p in range(count) if p % 2 == 0 or p >= count - TUNING.min_places_apart], np.intp)
        sums = np.concatenate([np.zeros((1, 7)), np.cumsum(self._sigmas**2, axis=0)])
        self._sigmas = np.sqrt(np.diff(sums[kept], axis=0))
        self._places = [self._places[p] for p in kept]
        self._nodes = self._nodes[kept]
        self._freeze_chain()
        self._earlier_count = int(np.sum(kept < self._earlier_count))
        left = {place.index for place in self._places}
        self._loops = [loop for loop in self._loops if loop.before in left and loop.after in left]

    def _freeze_chain(self) -> None:
        """Take the relative transforms of the nodes as they are now for measured: what loops have corrected stays so
        without them."""
        self._measured = self._nodes[:-1].inverse() @ self._nodes[1:]

    def _positions(self) -> dict[int, int]:
        """Positions of the places in the chain by the indices of their frames."""
        return {place.index: position for position, place in enumerate(self._places)}


def _search(view: PlaceView, earlier: Sequence[Place], count: int) -> _SearchResult:
    """The place of a keyframe, and loops from the ``count`` earlier ones that look most like it."""
    place = describe_place(view)
    loops = [verify_loop(candidate, place) for candidate in most_similar(place.descriptor, earlier, count)]
    return _SearchResult(place, [loop for loop in loops if loop is not None])


def most_similar(descriptor: NDArray[np.float32], places: Sequence[Place], count: int) -> list[Place]:
    """The ``count`` places with the highest similarity score, the best first: the cosine of the angle between the
    descriptors, from all of which the places' mean has been subtracted."""
    if not places:
        return []
    described = np.stack([place.descriptor for place in places]).astype(np.float64)
    common = described.mean(axis=0)
    apart, wanted = described - common, descriptor - common
    lengths = np.linalg.norm(apart, axis=1) * np.linalg.norm(wanted)
    order = np.argsort(-(apart @ wanted) / np.maximum(lengths, 1e-12), kind="stable")
    return [places[position] for position in order[:count]]


def _measurements(loops: list[LoopConstraint]) -> Sim3:
    """(L,) measured similarities of loops, which take the later places' points to the earlier ones."""
    rigid = Sim3.from_pose(np.stack([loop.T_before_after for loop in loops]))
    return Sim3(np.exp([loop.log_scale for loop in loops]), rigid.rotation, rigid.translation)


def _is_within(change: Sim3, node: Sim3, depth: float, limits: tuple[float, float, float]) -> bool:
    """Whether a change of the world (1,), as a camera (1,) sees it, has at most this rotation (radians), translation
    (depths) and logarithm of the scale."""
    vector = (node.inverse() @ change @ node).as_vector()[0]
    sizes = (np.linalg.norm(vector[:3]), np.linalg.norm(vector[3:6]) / depth, abs(vector[6]))
    return all(size <= limit for size, limit in zip(sizes, limits, strict=True))

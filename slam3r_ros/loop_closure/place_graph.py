"""The pose graph of places: the chain of steps from place to place, the loops that are believed, and what they correct.

Where two verified loops agree on how far the world has drifted in between, the pose graph is optimized, or a session is
taken into the world of an earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.place import Place
from slam3r_ros.loop_closure.pose_graph import Edges, optimize_pose_graph
from slam3r_ros.loop_closure.scale_edges import ScaleFit, ScaleObservation, ScaleObservations, ScaleSteps, fit_scales
from slam3r_ros.loop_closure.tuning import TUNING
from slam3r_ros.loop_closure.verification import LoopConstraint


class PlaceGraph:
    """Places in the order in which they were mapped, with their nodes in the world. Used by one thread at a time.

    Of more than ``most_places`` places every second one is forgotten, but for the newest.
    """

    def __init__(self, most_places: int) -> None:
        self._most = max(most_places, 2 * TUNING.min_places_apart)
        self.places: list[Place] = []
        """The places that are remembered."""
        self.nodes = Sim3.empty()
        """(P,) from each place's camera, in the lengths of when it was mapped, to the world."""
        self.measured = Sim3.empty()
        """(P - 1,) measured steps from each place to the next."""
        self.sigmas: Array = np.empty((0, 7))
        """(P - 1, 7) standard deviations of the steps."""
        self.loops: list[LoopConstraint] = []
        """Loops that are believed."""
        self.unconfirmed: list[LoopConstraint] = []
        """Loops that none of the recent ones agrees with so far."""
        self._scales = ScaleObservations(TUNING.most_scale_observations)
        self._has_news = False
        self._since_correction, self._rest = TUNING.places_between_corrections, 0
        # The places of an earlier session are the first ones; which frame is the first after them.
        self.earlier_count = self._first_frame = 0
        """Number of places of an earlier session, which are the first ones."""
        self.is_joined = True
        """Whether the places of an earlier session, if there are any, are in the world of the others."""
        self._keeps_earlier = False

    def begin_from(self, places: Sequence[Place], nodes: Sim3, first_frame: int, *, keeps_places: bool) -> None:
        """Begin with the places of an earlier session and their nodes (P,), before anything is added.

        Frames from ``first_frame`` on are in a world of their own until two loops to these places agree: the correction
        that `add` then returns takes them into the earlier session's world. With ``keeps_places`` the earlier
        places stay where they are, and every later correction moves the new frames alone.
        """
        self.places, self.nodes = list(places), nodes
        self.measured = nodes[:-1].inverse() @ nodes[1:]
        sigmas = [_chain_sigmas(self.measured[p : p + 1], places[p].depth) for p in range(len(places) - 1)]
        self.sigmas = np.array(sigmas).reshape(-1, 7)
        self.earlier_count, self._first_frame, self._keeps_earlier = len(places), first_frame, keeps_places
        self.is_joined = not places
        if len(self.places) > self._most:
            self._thin_out()

    def comparable(self) -> list[Place]:
        """The places that the next one is to be compared with: the older ones, or none for some places after one that
        was where it should be."""
        is_resting, self._rest = self._rest > 0, max(0, self._rest - 1)
        compared = max(self.earlier_count, len(self.places) - TUNING.min_places_apart)
        return [] if is_resting else list(self.places[: max(0, compared)])

    def is_elsewhere(self, T_world_camera: Array) -> bool:
        """Whether a camera looks elsewhere than at the last place."""
        if not self.places or (len(self.places) == self.earlier_count and not self.is_joined):
            return True
        between = (self.nodes[-1:].inverse() @ Sim3.from_pose(T_world_camera[None])).as_vector()[0]
        depth = self.places[-1].depth
        return float(np.linalg.norm(between[:3]) + np.linalg.norm(between[3:6]) / depth) >= TUNING.min_place_motion

    def add(self, place: Place, node: Sim3, loops: Sequence[LoopConstraint], *, was_lost: bool) -> MapCorrection | None:
        """Add the next place with its node (1,) and the loops to it; how the world is to be corrected, if it is.

        ``was_lost``: whether the motion to it from the place before is uncertain.
        """
        self._append(place, node, was_lost=was_lost)
        for loop in loops:
            self._add_loop(loop)
        self._since_correction += 1
        is_full = len(self.places) > self._most
        is_due = is_full or self._since_correction >= TUNING.places_between_corrections
        correction = None
        if not self.is_joined or self._keeps_earlier:
            correction = self._join()
        elif is_due and (self._has_news or self._has_scale_drifted()):
            correction = self.optimize()
        if len(self.loops) > TUNING.max_loops:
            self._freeze_chain()
            self.loops = self.loops[len(self.loops) // 2 :]
        if is_full:  # not before: loops that are to be closed lead to places that go
            self._thin_out()
        return correction

    def observe_scale(self, observations: Sequence[ScaleObservation]) -> None:
        """Take observations of the scale in, in the world as it is now: they are edges of the graph from now on."""
        for observation in observations:
            self._scales.add(observation)

    def correct(self, correction: MapCorrection) -> None:
        """Move the graph with a correction of the map that does not come from here."""
        self._scales.correct(correction)
        if self.places:
            moved = correction.of_frames(np.array([place.index for place in self.places]))
            self.nodes = moved @ self.nodes
            if len(correction.indices) > 1:
                self._freeze_chain()

    def _append(self, place: Place, node: Sim3, *, was_lost: bool) -> None:
        """Append the newest place, with its edge from the one before, to the pose graph."""
        if self.places:
            measured = self.nodes[-1:].inverse() @ node
            sigmas = _chain_sigmas(measured, place.depth)
            sigmas *= TUNING.lost_sigma_factor if was_lost else 1.0
            if len(self.places) == self.earlier_count:  # the two sessions are not connected
                sigmas[:] = TUNING.session_gap_sigma
            self.measured = Sim3.concatenate([self.measured, measured])
            self.sigmas = np.vstack([self.sigmas, sigmas])
        self.nodes = Sim3.concatenate([self.nodes, node])
        self.places.append(place)

    def _join(self) -> MapCorrection | None:
        """Take the new frames into the world of the earlier places by the loops to these that agree; None where there
        are none, where none knows the scale, or where they are there already."""
        positions, count = self._positions(), self.earlier_count
        newest = len(self.places) - 1 - TUNING.confirmed_within
        joining = [
            loop
            for loop in self.loops
            if positions.get(loop.before, count) < count <= positions.get(loop.after, -1)
            and positions[loop.after] >= newest
            and loop.log_scale_sigma < TUNING.unknown_scale_sigma
        ]
        is_confirmed = self.is_joined or len({loop.after for loop in joining}) > 1
        if not joining or not is_confirmed or not self._has_news:
            return None
        self._has_news, self._since_correction = False, 0
        best = max(joining, key=lambda loop: loop.matches)
        node = self.nodes[positions[best.after] : positions[best.after] + 1]
        change = self._corrected_by(best, positions)
        apart = [node.inverse() @ change.inverse() @ self._corrected_by(loop, positions) @ node for loop in joining]
        mean = Sim3.exp(np.mean([each.log()[0] for each in apart], axis=0)[None])
        change = change @ node @ mean @ node.inverse()
        if self.is_joined and _is_within(change, self.nodes[-1:], self.places[-1].depth, TUNING.min_correction):
            return None
        self.nodes = Sim3.concatenate([self.nodes[:count], change @ self.nodes[count:]])
        self.measured = Sim3.concatenate(
            [
                self.measured[: count - 1],
                self.nodes[count - 1 : count].inverse() @ self.nodes[count : count + 1],
                self.measured[count:],
            ]
        )
        self.is_joined = True
        frames = np.array([min(self.places[0].index, self._first_frame - 1), self._first_frame])
        ends = np.array([(loop.before, loop.after) for loop in joining], np.int64)
        changes = Sim3.concatenate([Sim3.from_pose(np.eye(4)[None]), change])
        correction = MapCorrection(frames, changes, ends, joins=True)
        self._scales.correct(correction)
        return correction

    def _add_loop(self, loop: LoopConstraint) -> None:
        """Believe a loop that agrees with a recent one, be it one to the same place; else keep it until one agrees."""
        positions = self._positions()
        oldest = len(self.places) - 1 - TUNING.confirmed_within
        recent = [
            each
            for each in [*self.unconfirmed, *self.loops]
            if each.before in positions and positions.get(each.after, -1) >= oldest
        ]
        agreeing = [each for each in recent if self._do_agree(loop, each, positions)]
        self.unconfirmed = [each for each in self.unconfirmed if each in recent and each not in agreeing]
        if not agreeing:
            self.unconfirmed.append(loop)
            return
        self.loops = [*self.loops, *(each for each in agreeing if each not in self.loops), loop]
        node = self.nodes[positions[loop.after] : positions[loop.after] + 1]
        is_right = _is_within(self._corrected_by(loop, positions), node, loop.depth, TUNING.min_correction)
        if self.is_joined and is_right:
            self._rest = TUNING.places_between_corrections
        else:  # also where a session has begun just where the earlier one had, at the same scale
            self._has_news = True

    def _do_agree(self, one: LoopConstraint, other: LoopConstraint, positions: dict[int, int]) -> bool:
        """Whether two loops correct what is seen from the first loop's later place alike."""
        difference = self._corrected_by(one, positions).inverse() @ self._corrected_by(other, positions)
        position = positions[one.after]
        node = self.nodes[position : position + 1]
        return _is_within(difference, node, one.depth, TUNING.agreeing_loops)

    def _corrected_by(self, loop: LoopConstraint, positions: dict[int, int]) -> Sim3:
        """(1,) how the world around a loop's later place would move if that loop alone were closed."""
        before, after = (self.nodes[p : p + 1] for p in (positions[loop.before], positions[loop.after]))
        return before @ _measurements([loop]) @ after.inverse()

    def optimize(self) -> MapCorrection | None:
        """Optimize the pose graph; the correction of the world, or None where it is too small to matter."""
        self._has_news, self._since_correction = False, 0
        positions, count = self._positions(), len(self.places)
        first = np.arange(count - 1)
        chain = Edges(first, first + 1, self.measured, self.sigmas)
        loops = [loop for loop in self.loops if loop.before in positions and loop.after in positions]
        sigmas = np.array(
            [[TUNING.loop_rotation_sigma] * 3 + [loop.translation_sigma] * 3 + [loop.log_scale_sigma] for loop in loops]
        )
        ends = np.array([(positions[loop.before], positions[loop.after]) for loop in loops], np.intp).reshape(-1, 2)
        closing = Edges(ends[:, 0], ends[:, 1], _measurements(loops), sigmas.reshape(-1, 7))
        fit = self._scale_fit(chain, closing)
        if fit is None:
            nodes = optimize_pose_graph(self.nodes, chain, closing)
        else:
            held = replace(chain, measured=fit.steps(self.measured))
            nodes = optimize_pose_graph(fit.applied(self.nodes), held, closing, fit.edges)
        moved = nodes @ self.nodes.inverse()
        is_small = fit is None or float(np.abs(np.log(moved.scale)).max()) < TUNING.min_scale_correction
        if is_small and _is_within(moved[-1:], self.nodes[-1:], self.places[-1].depth, TUNING.min_correction):
            return None
        self.nodes = nodes
        correction = self.correction(moved, loops)
        self._scales.correct(correction)
        return correction

    def _scale_fit(self, chain: Edges, loops: Edges) -> ScaleFit | None:
        """The scales of the nodes by all edges and the observations of the scale; None where these are too few."""
        if len(self._scales) < TUNING.min_scale_observations:
            return None
        at = np.searchsorted([place.index for place in self.places], self._scales.frames, side="right") - 1
        steps, closing = (
            ScaleSteps(each.first, each.second, np.log(each.measured.scale), each.sigmas[:, 6])
            for each in (chain, loops)
        )
        return fit_scales(np.log(self.nodes.scale), steps, closing, np.maximum(at, 0), self._scales)

    def _has_scale_drifted(self) -> bool:
        """Whether observations of the scale say that nodes are larger or smaller than others."""
        first, none = np.arange(len(self.places) - 1), np.empty(0, np.intp)
        no_loops = Edges(none, none, Sim3.empty(), np.empty((0, 7)))
        fit = self._scale_fit(Edges(first, first + 1, self.measured, self.sigmas), no_loops)
        if fit is None:
            return False
        return float(np.abs(fit.log_scales - np.log(self.nodes.scale)).max()) > TUNING.min_scale_correction

    def correction(self, moved: Sim3, loops: Sequence[LoopConstraint], *, joins: bool = False) -> MapCorrection:
        """What moves (P,) at each place as everything that was mapped with it; ``joins`` as in `MapCorrection`. The
        frames of this session before its first place move as that one does."""
        frames, at = [place.index for place in self.places], np.arange(len(self.places))
        count = self.earlier_count
        if 0 < count < len(frames) and frames[count] > self._first_frame:
            frames.insert(count, self._first_frame)
            at = np.insert(at, count, count)
        ends = np.array([(loop.before, loop.after) for loop in loops], np.int64).reshape(-1, 2)
        return MapCorrection(np.array(frames), moved[at], ends, joins)

    def _thin_out(self) -> None:
        """Forget every second of the older places, and freeze the chain of the others as it is now."""
        count = len(self.places)
        kept = np.array([p for p in range(count) if p % 2 == 0 or p >= count - TUNING.min_places_apart], np.intp)
        sums = np.concatenate([np.zeros((1, 7)), np.cumsum(self.sigmas**2, axis=0)])
        self.sigmas = np.sqrt(np.diff(sums[kept], axis=0))
        self.places = [self.places[p] for p in kept]
        self.nodes = self.nodes[kept]
        self._freeze_chain()
        self.earlier_count = int(np.sum(kept < self.earlier_count))
        left = {place.index for place in self.places}
        self.loops = [loop for loop in self.loops if loop.before in left and loop.after in left]

    def _freeze_chain(self) -> None:
        """Take the relative transforms of the nodes as they are now for measured: what loops have corrected stays so
        without them."""
        self.measured = self.nodes[:-1].inverse() @ self.nodes[1:]

    def _positions(self) -> dict[int, int]:
        """Positions of the places in the chain by the indices of their frames."""
        return {place.index: position for position, place in enumerate(self.places)}


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


def _measurements(loops: list[LoopConstraint]) -> Sim3:
    """(L,) measured similarities of loops, which take the later places' points to the earlier ones."""
    rigid = Sim3.from_pose(np.array([loop.T_before_after for loop in loops]).reshape(-1, 4, 4))
    return Sim3(np.exp([loop.log_scale for loop in loops]), rigid.rotation, rigid.translation)


def _is_within(change: Sim3, node: Sim3, depth: float, limits: tuple[float, float, float]) -> bool:
    """Whether a change of the world (1,), as a camera (1,) sees it, has at most this rotation (radians), translation
    (depths) and logarithm of the scale."""
    vector = (node.inverse() @ change @ node).as_vector()[0]
    sizes = (np.linalg.norm(vector[:3]), np.linalg.norm(vector[3:6]) / depth, abs(vector[6]))
    return all(size <= limit for size, limit in zip(sizes, limits, strict=True))

"""Loop closure: place recognition, verification and pose-graph optimization, which correct the drift of odometry.

Keyframes of visual odometry that look elsewhere than the last one become places. A new place is compared with the most
similar earlier ones, in the background of the frames that follow; the pose graph of the places does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slam3r_ros.background_task import BackgroundTask
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.place import Place, PlaceView, describe_place
from slam3r_ros.loop_closure.place_graph import PlaceGraph
from slam3r_ros.loop_closure.place_search import PlaceHint, expected_in_view, find_loops, near_places
from slam3r_ros.loop_closure.scale_edges import ScaleObservation, corrected_observations
from slam3r_ros.loop_closure.tuning import TUNING
from slam3r_ros.loop_closure.verification import LoopConstraint


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
        self._graph = PlaceGraph(most_places)
        self._work: BackgroundTask[MapCorrection | None] = BackgroundTask("loop_closure")
        self._relocalization: BackgroundTask[_SearchResult] = BackgroundTask("relocalization")
        self.failure = ""
        """Message about the last search that failed; empty if none has."""
        self._was_lost = self._offered_was_lost = False
        self._hint: PlaceHint | None = None
        self._observed: list[ScaleObservation] = []  # that the pose graph does not have yet
        self._known: tuple[Sequence[Place], Sim3] = ((), Sim3.empty())  # places and nodes as the world is now
        self.is_localized = True
        """Whether poses are in the world of the places that `begin_from` was given; True where it was given none."""
        self.newest: tuple[Place, Sim3] | None = None
        """The place that the last `collect` has brought, with its node (1,) in the world as it is now; None where it
        has brought none."""

    def begin_from(self, places: Sequence[Place], nodes: Sim3, first_frame: int, *, keeps_places: bool) -> None:
        """Begin with the places of an earlier session and their nodes (P,); to be called before the first `offer`.

        Frames from ``first_frame`` on are in a world of their own until two loops to these places agree: the correction
        that `collect` then returns takes them into the earlier session's world. With ``keeps_places`` the earlier
        places stay where they are, and every later correction moves the new frames alone.
        """
        self._graph.begin_from(places, nodes, first_frame, keeps_places=keeps_places)
        self.is_localized = self._graph.is_joined
        self._note_known()

    @property
    def place_count(self) -> int:
        """Number of places that are remembered, as the last `collect` has left them."""
        return len(self._known[0])

    def hint(self, hint: PlaceHint) -> int:
        """Say about where in the world of the earlier session the camera is, as long as that is not known: places near
        there are compared first, and all others where none of these shows the same. Returns how many are near."""
        self._hint = hint
        return len(self._near_and_others(self._known[0][: self._graph.earlier_count])[0])

    def observe_scale(self, observations: Sequence[ScaleObservation]) -> None:
        """Say how long a scene unit is, by another sensor: the scale of the map is held against its drift."""
        self._observed += observations

    def lose(self) -> None:
        """Say that tracking was lost: the motion to the place offered next is uncertain."""
        self._was_lost = True

    def offer(self, view: PlaceView) -> None:
        """Make a keyframe a place and search for loops to it. One that comes before `collect`, or that shows much the
        same as the last place, is passed over."""
        if self._work.is_pending or not self._graph.is_elsewhere(view.T_world_camera):
            return
        candidates: tuple[Sequence[Place], ...] = (self._graph.comparable(),)
        if self._hint is not None and not self._graph.is_joined:
            candidates = self._near_and_others(candidates[0])
        self._offered_was_lost, self._was_lost = self._was_lost, False
        observed, self._observed = self._observed, []
        self._graph.observe_scale(observed)
        self._work.start(self._close_loops, view, candidates)

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
            self.newest = (self._graph.places[-1], self._graph.nodes[-1:])
        else:
            self._work.drop()
            self._note_failure(error)
            self._was_lost |= self._offered_was_lost
        if correction is not None:
            self._observed = corrected_observations(self._observed, correction)
        self.is_localized = self._graph.is_joined
        self._note_known()
        return correction

    def correct(self, correction: MapCorrection) -> None:
        """Move the pose graph with a correction of the map that does not come from here. Raises RuntimeError while a
        search is under way."""
        if self._work.is_pending:
            raise RuntimeError("loop closure: the map cannot be corrected while a loop is searched for")
        self._graph.correct(correction)
        self._observed = corrected_observations(self._observed, correction)
        self._note_known()

    def relocalize(self, view: PlaceView) -> Relocalization | None:
        """The pose of a keyframe whose points are in its own axes and lengths, by the places similar to it.

        None where no place shows the same, or where the search failed, and `failure` says why.
        """
        places, nodes = self._known
        if not self.is_localized:  # the earlier places are in another world
            count = self._graph.earlier_count
            places, nodes = places[count:], nodes[count:]
        self._relocalization.start(_search, view, (places,), TUNING.compared_places)
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

    def _close_loops(self, view: PlaceView, candidates: Sequence[Sequence[Place]]) -> MapCorrection | None:
        """Add a keyframe and the loops to it to the pose graph, in the background; how the world is to be corrected."""
        count, expected = TUNING.compared_to_localize, list[Place]()
        if self._graph.is_joined:
            count, nodes = TUNING.compared_places, self._graph.nodes[: len(candidates[0])]
            expected = expected_in_view(view, candidates[0], nodes, TUNING.expected_places)
        found = _search(view, candidates, count, expected)
        node = Sim3.from_pose(found.place.T_world_camera[None])
        return self._graph.add(found.place, node, found.loops, was_lost=self._offered_was_lost)

    def _near_and_others(self, places: Sequence[Place]) -> tuple[list[Place], list[Place]]:
        """Of the places those of the earlier session that are near where the camera is said to be, and the others."""
        assert self._hint is not None
        count = min(len(places), self._graph.earlier_count)
        is_near = near_places(self._hint, places[:count], self._known[1][:count], TUNING.compared_to_localize)
        near = [place for place, chosen in zip(places, is_near, strict=False) if chosen]
        chosen = {place.index for place in near}
        return near, [place for place in places if place.index not in chosen]

    def _note_known(self) -> None:
        self._known = (tuple(self._graph.places), self._graph.nodes)

    def _note_failure(self, error: BaseException) -> None:
        self.failure = f"a keyframe could not be compared with earlier ones: {type(error).__name__}: {error}"


def _search(
    view: PlaceView, candidates: Sequence[Sequence[Place]], count: int, expected: Sequence[Place] = ()
) -> _SearchResult:
    """The place of a keyframe, and loops from the ``count`` earlier ones that look most like it, and those expected to
    show the same: from the first of several sets of places in which there are any."""
    place = describe_place(view)
    for places in candidates:
        if loops := find_loops(place, places, count, expected):
            return _SearchResult(place, loops)
    return _SearchResult(place, [])

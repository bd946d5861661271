"""Two sessions that have seen the same places become one, by the loops between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.place import Place
from slam3r_ros.loop_closure.place_graph import PlaceGraph
from slam3r_ros.loop_closure.place_search import find_loops
from slam3r_ros.loop_closure.tuning import TUNING


@dataclass(frozen=True, slots=True, eq=False)
class SessionPlaces:
    """The places of a session, in a world and at a scale of its own."""

    places: Sequence[Place]
    """(P,) places in the order of their frames."""
    nodes: Sim3
    """(P,) from each place's camera, in the lengths of when it was mapped, to the session's world."""


def merge_sessions(first: SessionPlaces, second: SessionPlaces, first_frame: int) -> MapCorrection | None:
    """The correction that takes two sessions into one world, about that of the first one; None where no two places of
    the second session agree on where it lies in the first.

    Every frame of the second session has the number ``first_frame`` or a higher one, every frame of the first a lower
    one. The second session is gone through as if it were being mapped now, with the first one loaded. `joins` is true,
    and the scale of the correction is that of the second session in the first.
    """
    graph = PlaceGraph(len(first.places) + len(second.places))
    graph.begin_from(first.places, first.nodes, first_frame, keeps_places=False)
    in_first = Sim3.identity()  # from the second session's world to the graph's, as far as is known
    for position, place in enumerate(second.places):
        node = in_first @ second.nodes[position : position + 1]
        count = TUNING.compared_places if graph.is_joined else TUNING.compared_to_localize
        loops = find_loops(place, graph.comparable(), count)
        correction = graph.add(place, node, loops, was_lost=False)
        if correction is not None:
            in_first = correction.newest @ in_first
    if not graph.is_joined:
        return None
    graph.optimize()
    before = Sim3.concatenate([first.nodes, second.nodes])
    return graph.correction(graph.nodes @ before.inverse(), graph.loops, joins=True)

"""Closing of loops on a walk whose places are known, with searches that find what they are told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import Array, rigid, rotation_from_vector, transform_points
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure import loop_closer, place_graph, place_search
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.loop_closer import LoopCloser
from slam3r_ros.loop_closure.place import Place, PlaceView
from slam3r_ros.loop_closure.place_search import PlaceHint, most_similar, near_places
from slam3r_ros.loop_closure.scale_edges import ScaleObservation
from slam3r_ros.loop_closure.tuning import TUNING
from slam3r_ros.loop_closure.verification import LoopConstraint
from slam3r_ros.vision.feature_image import FeatureImage, Features

DRIFT = Sim3(np.exp([0.004]), rotation_from_vector(np.array([[0, 0.004, 0.001]])), np.array([[0, -0.01, 0.0]]))
"""Of each step."""
NO_DRIFT = Sim3.from_pose(np.eye(4)[None])
FRAMES_BETWEEN = 10
"""Frames from one place to the next."""
NOTHING = np.empty(0, np.float32)
UNSEEN = np.full((TUNING.thumbnail_px,) * 2, np.nan, np.float16)
"""Depths of a small image, none of them known: nobody expects to see the place again."""


def true_pose(number: int) -> Array:
    """Round a circle of radius 3, 40 places a round, looking at its middle."""
    angle = 2 * np.pi * number / 40
    turn = rotation_from_vector(np.array([[0, angle, 0]]))[0]
    return rigid(turn, 3 * np.array([-np.sin(angle), 0, -np.cos(angle)]))


def node(T: Array) -> Sim3:
    return Sim3.from_pose(T[None])


def place(index: int, T: Array, depth: float = 2.0, descriptor: Array | None = None) -> Place:
    described = np.zeros(3, np.float32) if descriptor is None else descriptor.astype(np.float32)
    features, depths = Features(np.empty((1, 2), np.float32), np.empty((1, 128), np.uint8)), np.log(np.full(1, depth))
    return Place(index, described, features, np.eye(3), 8, 8, depths, depths, NOTHING, UNSEEN, T)


class Walk:
    """Places one after the other, as drifting tracks have them, and the loops that are found there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int = 500, drift: Sim3 = DRIFT) -> None:
        self.closing, self.drift = LoopCloser(most), drift
        self.corrections: dict[int, MapCorrection] = {}
        """By the number of the place with which they came."""
        self.loops: dict[tuple[int, int], LoopConstraint] = {}
        """By numbers of places."""
        self.estimated: list[Sim3] = []
        """(1,) each; from the camera, in true lengths, to the world as it is now."""
        self.mapped: list[float] = []
        """World length of a metre when the place was mapped."""
        self.tried: list[tuple[int, int]] = []
        """Numbers of places that were compared."""
        self.search: Callable[[int], None] = lambda number: None
        """Something that is done in the search for a place."""
        monkeypatch.setattr(loop_closer, "describe_place", self._place_of)
        monkeypatch.setattr(place_search, "verify_loop", self._loop_between)
        monkeypatch.setattr(place_search, "most_similar", self._most_alike)

    def view(self, number: int) -> PlaceView:
        image = FeatureImage(np.zeros((8, 8), np.uint8), np.eye(3))
        last = self.estimated[number]
        T = rigid(last.rotation[0], last.translation[0])
        return PlaceView(FRAMES_BETWEEN * number, NOTHING, image, NOTHING, NOTHING, T)

    def step(self, lost: bool = False, jump: Sim3 = NO_DRIFT) -> MapCorrection | None:
        """The next place."""
        self.move(jump)
        if lost:
            self.closing.lose()
        self.closing.offer(self.view(len(self.estimated) - 1))
        return self.collect()

    def move(self, jump: Sim3 = NO_DRIFT) -> None:
        number = len(self.estimated)
        if number:
            motion = node(np.linalg.inv(true_pose(number - 1)) @ true_pose(number))
            self.estimated.append(self.estimated[-1] @ motion @ self.drift @ jump)
        else:
            self.estimated.append(node(true_pose(0)))
        self.mapped.append(float(self.estimated[-1].scale[0]))

    def collect(self) -> MapCorrection | None:
        correction = self.closing.collect()
        if correction is not None:
            number = len(self.estimated) - 1
            self.corrections[number] = correction
            moved = correction.of_frames(FRAMES_BETWEEN * np.arange(number + 1))
            self.estimated = [orthonormal(moved[p : p + 1] @ each) for p, each in enumerate(self.estimated)]
        return correction

    def walk(self, count: int) -> list[int]:
        """So many more places; those with which a correction came."""
        first = len(self.estimated)
        return [number for number in range(first, first + count) if self.step() is not None]

    def add_loop(self, before: int, after: int, *, off: Sim3 = NO_DRIFT) -> None:
        """What will be found, exactly but for an error."""
        self.loops[before, after] = LoopConstraint(before, after, off.rotation[0], 0, 0.05, 0.05, 2.0, 100)

    def errors(self) -> Array:
        """(3,) of the newest place: turn, shift, logarithm of the scale."""
        vector = (node(true_pose(len(self.estimated) - 1)).inverse() @ self.estimated[-1]).as_vector()[0]
        return np.array([np.linalg.norm(vector[:3]), np.linalg.norm(vector[3:6]), abs(vector[6])])

    def _place_of(self, view: PlaceView) -> Place:
        self.search(view.index // FRAMES_BETWEEN)
        return place(view.index, view.T_world_camera, 2.0 * self.mapped[view.index // FRAMES_BETWEEN])

    def _most_alike(self, descriptor: Array, places: list[Place], count: int) -> list[Place]:
        return places

    def _loop_between(self, before: Place, after: Place) -> LoopConstraint | None:
        one, other = before.index // FRAMES_BETWEEN, after.index // FRAMES_BETWEEN
        self.tried.append((one, other))
        if (one, other) not in self.loops:
            return None
        off = rigid(self.loops[one, other].T_before_after, np.zeros(3))
        T = np.linalg.inv(true_pose(one)) @ true_pose(other) @ off
        T[:3, 3] *= self.mapped[one]
        log_scale = float(np.log(self.mapped[one] / self.mapped[other]))
        return LoopConstraint(
            before.index, after.index, T, log_scale, 0.05, 0.1 * self.mapped[one], 2 * self.mapped[one], 100
        )


def orthonormal(moved: Sim3) -> Sim3:
    """With an exact rotation, as tracks give every pose one."""
    u, _, vt = np.linalg.svd(moved.rotation[0])
    return Sim3(moved.scale, (u @ vt)[None], moved.translation)


def turned(angle: float) -> Sim3:
    return Sim3(np.ones(1), rotation_from_vector(np.array([[0, angle, 0]])), np.zeros((1, 3)))


def test_one_loop_alone_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(monkeypatch)
    walk.add_loop(0, 40)
    assert walk.walk(80) == []


def test_two_loops_that_agree_close(monkeypatch: pytest.MonkeyPatch) -> None:
    walk, open_ = Walk(monkeypatch), Walk(monkeypatch)
    assert open_.walk(42) == []
    before = open_.errors()
    assert (before > [0.15, 0.3, 0.15]).all()
    walk = Walk(monkeypatch)
    walk.add_loop(0, 40)
    walk.add_loop(1, 41)
    assert walk.walk(42) == [41]
    assert (walk.errors() < before / [4, 4, 4]).all()
    correction = walk.corrections[41]
    assert correction.indices.tolist() == [FRAMES_BETWEEN * number for number in range(42)]
    first = correction.world_changes
    np.testing.assert_array_equal(first.rotation[0], np.eye(3))
    np.testing.assert_array_equal(first.translation[0], np.zeros(3))
    assert first.scale[0] == 1
    assert walk.walk(30) == []  # no news, no correction


def test_another_sensor_holds_the_scale_without_any_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    free, held = Walk(monkeypatch), Walk(monkeypatch)
    free.walk(150)
    held = Walk(monkeypatch)
    for number in range(150):
        held.step()
        metres = -float(np.log(held.estimated[-1].scale[0]))  # of a unit, where the way has grown
        held.closing.observe_scale([ScaleObservation(FRAMES_BETWEEN * number, metres, 0.03)])
    assert free.errors()[2] > 0.55 and held.errors()[2] < 0.05
    assert held.corrections and all(len(each.loops) == 0 for each in held.corrections.values())
    first = next(iter(held.corrections.values())).world_changes
    assert first.scale[0] == 1
    np.testing.assert_array_equal(first.translation[0], np.zeros(3))


def test_two_that_come_with_one_place_close_too(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(monkeypatch)
    walk.add_loop(0, 40)
    walk.add_loop(1, 40)
    assert walk.walk(50) == [40]


@pytest.mark.parametrize("off", [turned(0.4), turned(-0.4)])
def test_two_loops_that_contradict_each_other_do_not_close(monkeypatch: pytest.MonkeyPatch, off: Sim3) -> None:
    walk = Walk(monkeypatch)
    walk.add_loop(0, 40)
    walk.add_loop(1, 41, off=off)
    assert walk.walk(50) == []


@pytest.mark.parametrize(("later", "closed"), [(TUNING.confirmed_within, True), (TUNING.confirmed_within + 1, False)])
def test_a_loop_waits_for_another_for_some_places(monkeypatch: pytest.MonkeyPatch, later: int, closed: bool) -> None:
    walk = Walk(monkeypatch)
    walk.add_loop(0, 40)
    walk.add_loop(later, 40 + later)
    assert walk.walk(80) == ([40 + later] if closed else [])


def test_a_wrong_loop_in_between_does_not_hinder(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(monkeypatch)
    walk.add_loop(0, 40)
    walk.add_loop(1, 41, off=turned(1.0))
    walk.add_loop(2, 42)
    assert walk.walk(43) == [42]
    assert walk.errors()[0] < 0.05


def test_places_nearby_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(monkeypatch)
    walk.walk(60)
    assert {after - before for before, after in walk.tried} == set(range(TUNING.min_places_apart + 1, 60))


def test_only_those_that_look_alike_are_compared() -> None:
    random = np.random.default_rng(0)
    common, own = random.normal(0, 10, 32), random.normal(size=(30, 32))
    places = [place(number, np.eye(4), descriptor=common + each) for number, each in enumerate(own)]
    wanted = (common + own[17] + 0.2 * random.normal(size=32)).astype(np.float32)
    chosen = most_similar(wanted, places, TUNING.compared_places)
    assert len(chosen) == TUNING.compared_places and chosen[0] is places[17]
    assert most_similar(wanted, places[:2], TUNING.compared_places) in (places[:2], places[1::-1])
    assert most_similar(wanted, [], TUNING.compared_places) == []
    alike = [places[0]] * 6
    assert (
        most_similar(places[0].descriptor, alike, TUNING.compared_places) == alike[: TUNING.compared_places]
    )  # all the same: in their order


def test_after_a_closing_places_pass_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(monkeypatch)
    for number in range(40, 80):
        walk.add_loop(number - 40, number)
    closed = walk.walk(80)
    assert closed[0] == 41 and len(closed) > 2
    assert TUNING.places_between_corrections <= np.diff(closed).min() < TUNING.places_between_corrections + 5
    assert (walk.errors() < [0.1, 0.4, 0.1]).all()


def test_what_is_right_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(monkeypatch, drift=NO_DRIFT)
    for number in range(40, 60):
        walk.add_loop(number - 40, number)
    assert walk.walk(60) == []
    assert walk.errors().max() < 1e-9


def test_ten_times_as_many_places_as_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(monkeypatch, most=60)
    for number in range(40, 600):
        walk.add_loop(number - 40, number)
    for number in range(600):
        walk.step()
        closing = walk.closing
        assert len(closing._graph.places) <= 60
        assert (
            len(closing._graph.places)
            == len(closing._graph.nodes)
            == len(closing._graph.measured) + 1
            == len(closing._graph.sigmas) + 1
        )
        assert (
            len(closing._graph.loops) <= 60 * TUNING.compared_places
            and len(closing._graph.unconfirmed) <= 60 * TUNING.compared_places
        )
        indices = [each.index // FRAMES_BETWEEN for each in closing._graph.places]
        assert indices[0] == 0 and indices[-TUNING.min_places_apart :] == list(
            range(max(0, number + 1 - TUNING.min_places_apart), number + 1)
        )
    assert len(walk.corrections) > 20
    assert (walk.errors() < [0.1, 0.6, 0.2]).all()  # of drifts of 2.4 radians, 6 units and 2.4


def test_forgetting_places_forgets_no_correction(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(monkeypatch, most=60)
    walk.add_loop(0, 40)
    walk.add_loop(1, 41)
    assert walk.walk(42) == [41]
    before = [walk.closing._graph.nodes.translation[p] for p in range(0, 40, 2)]
    assert walk.walk(19) == [] and len(walk.closing._graph.places) < 60
    positions = walk.closing._graph.nodes.translation
    after = {each.index // FRAMES_BETWEEN: positions[p] for p, each in enumerate(walk.closing._graph.places)}
    np.testing.assert_array_equal([after[number] for number in range(0, 40, 2)], before)
    chain = walk.closing._graph.nodes[:1]
    for p in range(len(walk.closing._graph.measured)):
        chain = chain @ walk.closing._graph.measured[p : p + 1]
    np.testing.assert_allclose(chain.translation[0], walk.closing._graph.nodes.translation[-1], atol=1e-9)
    np.testing.assert_allclose(chain.scale[0], walk.closing._graph.nodes.scale[-1])


@pytest.mark.parametrize("before", [20, 21])  # one stays, one goes
def test_a_loop_to_a_place_that_is_forgotten_just_then(monkeypatch: pytest.MonkeyPatch, before: int) -> None:
    walk = Walk(monkeypatch, most=60)
    walk.add_loop(before - 1, before + 39)
    walk.add_loop(before, 60)  # the place that is one too many
    walk.add_loop(before + 1, 61)
    assert walk.walk(59) == []
    assert walk.walk(5)[:1] == [60]
    assert len(walk.closing._graph.places) < 60


def test_news_that_wait_are_heard_before_places_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_graph, "TUNING", replace(TUNING, min_correction=(1e-6, 1e-6, 1e-6)))
    walk = Walk(monkeypatch, most=60)
    walk.add_loop(1, 57)
    walk.add_loop(3, 58)
    for number in (59, 60):  # within the rest
        walk.add_loop(5, number)
        walk.add_loop(7, number)
    closed = walk.walk(80)
    assert closed[0] == 58 and 60 in closed
    assert len(walk.closing._graph.places) <= 60


def test_where_the_tracks_were_lost_the_chain_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    jump = Sim3(np.ones(1), rotation_from_vector(np.array([[0, 0.4, 0]])), np.array([[0.5, 1.0, 0]]))

    def error(lost: bool) -> float:
        """Of a place half way between the jump and the loops, units."""
        walk = Walk(monkeypatch, drift=NO_DRIFT)
        walk.add_loop(0, 40)
        walk.add_loop(1, 41)
        walk.walk(20)
        walk.step(lost, jump)
        assert walk.walk(21) == [41]
        return float(np.linalg.norm(walk.estimated[30].translation[0] - true_pose(30)[:3, 3]))

    assert error(lost=True) < 0.1 < 2 * 0.1 < error(lost=False)


def test_a_loss_counts_for_the_place_that_is_offered_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(monkeypatch)
    walk.walk(10)
    walk.move()
    walk.closing.offer(walk.view(10))
    walk.closing.lose()  # while the search for the place before runs
    walk.collect()
    walk.step()
    walk.step()
    shifts = walk.closing._graph.sigmas[:, 6] / TUNING.chain_scale_sigma
    np.testing.assert_allclose(shifts[-3:], [1, TUNING.lost_sigma_factor, 1])


def test_one_that_is_offered_too_early_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(monkeypatch)
    walk.walk(3)
    walk.move()
    walk.closing.offer(walk.view(3))
    walk.closing.lose()
    walk.move()
    walk.closing.offer(walk.view(4))
    assert walk.collect() is None and walk.collect() is None
    walk.step()
    indices = [each.index // FRAMES_BETWEEN for each in walk.closing._graph.places]
    assert indices == [0, 1, 2, 3, 5]
    assert walk.closing._graph.sigmas[-1, 6] == TUNING.lost_sigma_factor * TUNING.chain_scale_sigma


def test_a_search_that_fails_is_told_and_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(monkeypatch)
    walk.add_loop(0, 40)
    walk.add_loop(1, 41)

    def search(number: int) -> None:
        if number == 20:
            raise ValueError("no such thing")

    walk.search = search
    assert walk.walk(20) == [] and walk.closing.failure == ""
    assert walk.step(lost=True) is None
    assert walk.closing.failure == "a keyframe could not be compared with earlier ones: ValueError: no such thing"
    assert walk.collect() is None
    assert walk.walk(30) == [41]
    assert [each.index // FRAMES_BETWEEN for each in walk.closing._graph.places[18:22]] == [18, 19, 21, 22]
    assert walk.closing._graph.sigmas[19, 6] == TUNING.lost_sigma_factor * TUNING.chain_scale_sigma


def test_a_search_runs_in_the_background_and_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    walk, go_on, begun = Walk(monkeypatch), threading.Event(), threading.Event()
    walk.walk(3)

    def search(number: int) -> None:
        begun.set()
        assert go_on.wait(60)

    walk.search = search
    walk.move()
    walk.closing.offer(walk.view(3))
    assert begun.wait(60)  # it runs beside this thread, which is not held up
    assert len(walk.closing._graph.places) == 3
    go_on.set()
    walk.collect()
    assert [each.index for each in walk.closing._graph.places] == [number * FRAMES_BETWEEN for number in range(4)]
    walk.search = lambda number: time.sleep(0.05)
    walk.step()
    assert [each.index for each in walk.closing._graph.places] == [number * FRAMES_BETWEEN for number in range(5)]


def test_how_fast_the_machine_is_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for slow in (False, True):
        walk = Walk(monkeypatch)
        walk.search = lambda number, slow=slow: time.sleep(0.002 if slow and number % 7 == 0 else 0)  # type: ignore[misc]
        for number in range(40, 60):
            walk.add_loop(number - 40, number)
        results.append((walk.walk(60), walk.estimated[-1]))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1].translation, results[1][1].translation)


@pytest.mark.parametrize(("shift", "turn", "places"), [(0.0, 0.0, 1), (0.16, 0.0, 4), (0.0, 0.04, 4), (0.08, 0.02, 4)])
def test_a_keyframe_that_shows_much_the_same_is_no_place(shift: float, turn: float, places: int) -> None:
    """Of ten keyframes 4 m before a wall, each farther by ``shift`` m and ``turn`` radians, every third is one."""
    grey = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    image, closing = FeatureImage(grey, np.array([[64.0, 0, 32], [0, 64, 32], [0, 0, 1]])), LoopCloser(500)
    for number in range(10):
        T = rigid(rotation_from_vector(np.array([[0, number * turn, 0]]))[0], [number * shift, 0, 0])
        wall = transform_points(T, image.rays((8, 8)) * np.float32(4)).astype(np.float32)
        closing.offer(PlaceView(number, np.ones(4, np.float32), image, wall, np.ones((8, 8), np.float32), T))
        closing.collect()
    assert len(closing._graph.places) == places


def test_after_a_loop_that_is_where_it_should_be_some_places_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    walk, compared = Walk(monkeypatch, drift=NO_DRIFT), list[int]()
    for number in range(40, 60):
        walk.add_loop(number - 40, number)
    walk.walk(40)
    most_similar = place_search.most_similar

    def noted(descriptor: NDArray[np.float32], places: list[Place], count: int) -> list[Place]:
        compared.append(len(places))
        return most_similar(descriptor, places, count)

    monkeypatch.setattr(place_search, "most_similar", noted)
    walk.walk(TUNING.places_between_corrections + 5)
    assert [places > 0 for places in compared] == [
        True,
        True,
        *[False] * TUNING.places_between_corrections,
        True,
        True,
        False,
    ]


def test_no_more_loops_are_kept_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_graph, "TUNING", replace(TUNING, max_loops=10))
    walk = Walk(monkeypatch)
    for number in range(40, 100):
        walk.add_loop(number - 40, number)
    assert len(walk.walk(100)) > 3
    assert len(walk.closing._graph.loops) <= 10
    astray = Walk(monkeypatch)
    astray.walk(100)
    assert (walk.errors() < 0.25 * astray.errors()).all()


ELSEWHERE = Sim3(np.array([1.8]), rotation_from_vector(np.array([[0.4, 2.5, -0.3]])), np.array([[4.0, -2.0, 7.0]]))
"""Of the world of a second session in that of the first."""


def second_session(monkeypatch: pytest.MonkeyPatch, *, keeps_places: bool = False) -> Walk:
    """A walk of 40 places in one session, after which a second one begins in a world of its own."""
    walk = Walk(monkeypatch, drift=NO_DRIFT)
    assert walk.walk(40) == []
    places, nodes = walk.closing._known
    walk.closing = LoopCloser(500)
    walk.closing.begin_from(places, nodes, FRAMES_BETWEEN * 40, keeps_places=keeps_places)
    walk.tried.clear()
    assert not walk.closing.is_localized and walk.closing.place_count == 40
    return walk


@pytest.mark.parametrize("keeps_places", [False, True])
def test_two_places_that_agree_localize_a_second_session(monkeypatch: pytest.MonkeyPatch, keeps_places: bool) -> None:
    walk = second_session(monkeypatch, keeps_places=keeps_places)
    walk.add_loop(2, 42)
    walk.add_loop(3, 43)
    assert walk.step(jump=ELSEWHERE) is None and walk.errors()[0] > 1
    assert walk.walk(2) == [] and not walk.closing.is_localized
    correction = walk.step()
    assert correction is not None and correction.joins and walk.closing.is_localized
    np.testing.assert_allclose(walk.errors(), 0, atol=1e-6)
    identity = correction.of_frames(np.array([0, FRAMES_BETWEEN * 39, FRAMES_BETWEEN * 40 - 1]))
    np.testing.assert_array_equal(identity.scale, 1)
    np.testing.assert_array_equal(identity.translation, 0)
    moved = correction.of_frames(np.array([FRAMES_BETWEEN * 40]))
    np.testing.assert_allclose((moved @ ELSEWHERE).scale, 1, rtol=1e-6)
    assert walk.walk(20) == []  # where it should be
    assert {one for one, other in walk.tried if other == 40} == set(range(40))  # the newest ten of the first too


def test_a_session_that_begins_where_the_earlier_one_had_is_localized(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to correct, but that is not known before."""
    walk = second_session(monkeypatch)
    walk.add_loop(2, 42)
    walk.add_loop(3, 43)
    assert walk.walk(4) == [43] and walk.closing.is_localized
    np.testing.assert_allclose(walk.corrections[43].newest.scale, 1)
    assert walk.walk(10) == []


def test_one_place_alone_does_not_localize(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = second_session(monkeypatch)
    walk.add_loop(2, 42)
    walk.add_loop(3, 42)  # two loops, but to one place
    assert walk.step(jump=ELSEWHERE) is None
    assert walk.walk(30) == [] and not walk.closing.is_localized


@pytest.mark.parametrize("off", [turned(0.4), turned(-0.4)])
def test_places_that_contradict_each_other_do_not_localize(monkeypatch: pytest.MonkeyPatch, off: Sim3) -> None:
    walk = second_session(monkeypatch)
    walk.add_loop(2, 42)
    walk.add_loop(3, 43, off=off)
    assert walk.step(jump=ELSEWHERE) is None
    assert walk.walk(30) == [] and not walk.closing.is_localized


def test_places_near_a_hint_are_compared_first_and_all_others_where_none_shows_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    walk = second_session(monkeypatch)
    walk.add_loop(2, 42)
    walk.add_loop(30, 43)
    position = walk.closing._known[1].translation[2]
    assert walk.closing.hint(PlaceHint(position, np.array([0.0, -1.0, 0.0]), 0.1)) == TUNING.compared_to_localize
    walk.step(jump=ELSEWHERE)
    assert {one for one, other in walk.tried if other == 40} == set(range(40))
    walk.walk(2)
    assert {one for one, other in walk.tried if other == 42} < set(range(12)) | {37, 38, 39}
    assert walk.walk(1) == [43] and walk.closing.is_localized  # by 30, which is far from the hint
    assert {one for one, other in walk.tried if other == 43} == set(range(40))


def test_how_near_a_place_is_does_not_depend_on_its_height() -> None:
    places = [place(number, np.eye(4)) for number in range(6)]
    nodes = Sim3(np.full(6, 1.5), np.stack([np.eye(3)] * 6), [[x, 7.0 * (x % 2), 0] for x in range(6)])
    down = np.array([0.0, 1.0, 0.0])

    def near(radius: float, least: int = 1) -> list[bool]:
        return near_places(PlaceHint(np.array([0.2, -3.0, 0.0]), down, radius), places, nodes, least).tolist()

    assert near(2.0) == [True, True, True, False, False, False]
    assert near(0.0) == [True, True, True, True, False, False]  # 3: the depth of 2 at the scale of 1.5
    assert near(0.1) == [True, False, False, False, False, False]
    assert near(0.1, least=2) == [True, True, False, False, False, False]
    assert near_places(PlaceHint(down, down, 1.0), [], Sim3.empty(), 5).tolist() == []


def test_a_lost_frame_is_not_looked_for_in_another_world(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = second_session(monkeypatch)
    walk.step(jump=ELSEWHERE)
    walk.step()
    walk.tried.clear()
    assert walk.closing.relocalize(walk.view(41)) is None
    assert {one for one, _ in walk.tried} == {40, 41}


@pytest.mark.parametrize("keeps_places", [False, True])
def test_later_loops_correct_the_drift_since_the_sessions_were_joined(
    monkeypatch: pytest.MonkeyPatch, keeps_places: bool
) -> None:
    walk = second_session(monkeypatch, keeps_places=keeps_places)
    for number in (42, 43, 75, 76):
        walk.add_loop(number - 40, number)
    walk.step(jump=ELSEWHERE)
    assert walk.walk(3) == [43]
    walk.drift = DRIFT
    assert walk.walk(32) == []
    before = walk.errors()
    assert walk.walk(1) == [76]
    # Else the first session, which is no better, takes half of the correction.
    assert (walk.errors() < (0.1 if keeps_places else 0.6) * before).all()
    old = walk.corrections[76].of_frames(FRAMES_BETWEEN * np.arange(40))
    assert (old.scale == 1).all() == walk.corrections[76].joins == keeps_places


def test_more_places_than_are_remembered_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(monkeypatch, drift=NO_DRIFT)
    walk.walk(60)
    closing = LoopCloser(40)
    closing.begin_from(*walk.closing._known, 1000, keeps_places=False)
    assert closing.place_count == 35 and not closing.is_localized

"""Which places are compared: those that a camera is expected to see where it is believed to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from loop_views import HALF, plane_view, view_of
from numpy.typing import NDArray
from plane_scene import SIDE, pose

from slam3r_ros.geometry.se3 import Array, rigid, rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure import place_search
from slam3r_ros.loop_closure.place import Place, describe_place
from slam3r_ros.loop_closure.place_search import expected_in_view, find_loops, most_matching
from slam3r_ros.loop_closure.tuning import TUNING
from slam3r_ros.vision.feature_image import Features

GREY: NDArray[np.uint8] = np.full((SIDE, SIDE), 90, np.uint8)
FAR = np.full((HALF, HALF), 3.0)


def wall(index: int, T_world_camera: Array, depth: float = 3.0) -> Place:
    """A wall straight ahead of a camera that is there."""
    return describe_place(view_of(index, GREY, np.full((HALF, HALF), depth), T_world_camera))


def at(x: float, z: float = 0.0, degrees: float = 0.0) -> Array:
    return rigid(rotation_from_vector([0, np.radians(degrees), 0]), [x, 0, z])


def nodes(*poses: Array) -> Sim3:
    return Sim3.from_pose(np.stack(poses))


def test_places_are_expected_in_the_order_of_what_is_seen_of_them_from_another_direction() -> None:
    """All walls stand at z = 3. The camera looks at them at an angle, from the side."""
    poses = [at(-20.0), at(0.0), at(1.0), at(0.0, 6.0, 180.0)]
    places = [wall(number, T) for number, T in enumerate(poses)]
    view = view_of(9, GREY, FAR, at(-2.6, 0.4, 40.0))
    found = expected_in_view(view, places, nodes(*poses), 3)
    assert {place.index for place in found} == {1, 2, 3}, "the wall far to the left is not in view"
    assert len(expected_in_view(view, places, nodes(*poses), 1)) == 1
    turned = view_of(9, GREY, FAR, at(-2.6, 0.4, -140.0))
    assert expected_in_view(turned, places, nodes(*poses), 3) == []


def test_places_are_expected_where_the_world_has_them_now_in_its_lengths() -> None:
    place, view = wall(0, at(50.0)), view_of(9, GREY, FAR, at(0.0))
    assert expected_in_view(view, [place], nodes(at(50.0)), 2) == []
    moved = Sim3(np.array([0.5]), np.eye(3)[None], np.array([[0.0, 0.0, 1.0]]))
    assert expected_in_view(view, [place], moved, 2) == [place]


def test_nothing_is_expected_of_places_without_depths_or_of_none() -> None:
    view = view_of(9, GREY, FAR, at(0.0))
    unknown = describe_place(view_of(0, GREY, np.full((HALF, HALF), np.nan), at(0.0)))
    assert expected_in_view(view, [unknown], nodes(at(0.0)), 2) == expected_in_view(view, [], Sim3.empty(), 2) == []


def test_a_place_that_looks_otherwise_is_compared_where_it_is_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = describe_place(plane_view(3, pose(5))), describe_place(plane_view(70, pose(12)))
    others = [wall(number, at(0.0)) for number in range(10, 14)]
    monkeypatch.setattr(place_search, "most_similar", lambda descriptor, places, count: list(others))
    assert find_loops(after, [before, *others], 4) == []
    (loop,) = find_loops(after, [before, *others], 4, [before, others[0]])
    assert (loop.before, loop.after) == (3, 70)


def with_descriptors(index: int, descriptors: NDArray[np.uint8]) -> Place:
    """A place of which nothing but its descriptors (N, D) is of interest."""
    pixels = np.zeros((len(descriptors), 2), np.float32)
    return replace(wall(index, at(0.0)), features=Features(pixels, descriptors))


def test_features_vote_for_the_place_that_has_them_in_the_order_of_the_votes() -> None:
    random = np.random.default_rng(0)
    described = [random.integers(0, 255, (50, 128), np.uint8) for _ in range(5)]
    places = [with_descriptors(number, each) for number, each in enumerate(described)]
    own = np.concatenate([described[3][:20], described[1][:9], described[0][:1]])
    own = np.clip(own.astype(int) + random.integers(-3, 4, own.shape), 0, 255).astype(np.uint8)
    features = Features(np.zeros((len(own), 2), np.float32), own)
    assert [place.index for place in most_matching(features, places, 4)] == [3, 1], "one vote alone counts nothing"
    assert [place.index for place in most_matching(features, places, 1)] == [3]
    assert most_matching(features, places[:1], 4) == most_matching(features, [], 4) == []
    twice = [*places, with_descriptors(9, described[3])]
    assert [place.index for place in most_matching(features, twice, 4)] == [1], "what two places have tells neither"


def test_places_without_features_get_no_votes_and_a_picture_without_any_gives_none() -> None:
    random = np.random.default_rng(1)
    described = random.integers(0, 255, (50, 128), np.uint8)
    nothing = np.empty((0, 128), np.uint8)
    places = [with_descriptors(0, nothing), with_descriptors(1, described), with_descriptors(2, described[::-1] // 2)]
    found = most_matching(Features(np.zeros((50, 2), np.float32), described), places, 4)
    assert [place.index for place in found] in ([1], [])
    assert most_matching(Features(np.zeros((0, 2), np.float32), nothing), places, 4) == []


def test_of_many_places_each_lends_fewer_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_search, "TUNING", replace(TUNING, most_voting_features=10))
    random = np.random.default_rng(2)
    described = [random.integers(0, 255, (50, 128), np.uint8) for _ in range(2)]
    places = [with_descriptors(number, each) for number, each in enumerate(described)]
    first, later = (Features(np.zeros((20, 2), np.float32), described[1][part]) for part in (slice(20), slice(5, 25)))
    assert [place.index for place in most_matching(first, places, 4)] == [1]
    assert most_matching(later, places, 4) == [], "only the five strongest are asked"

"""Dense depth in the engine, on the first frames of the example clip: whole images, same trajectory, larger map."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from slam3r_ros.engine.events import Update
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.slam import Slam
from slam3r_ros.geometry.se3 import rigid
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.io.sources import open_source
from slam3r_ros.io.sources.example import EXAMPLE
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.networks.weights import load_networks
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame

FRAMES = 45


@pytest.fixture(scope="module")
def networks() -> NetworkPair:
    return load_networks("embedded", device="cpu", precision="float32")


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    with open_source(str(EXAMPLE)) as source:
        return list(islice(source, FRAMES))


class Run:
    """The engine after the frames, and its events before and with the flush."""

    def __init__(self, networks: NetworkPair, frames: list[Frame], *, dense: bool = True) -> None:
        self.slam = Slam(networks, SlamSettings().with_values({"map.dense": dense}))
        self.events: list[Update] = [event for frame in frames for event in self.slam.push(frame)]

    def flushed(self) -> Run:
        self.events += self.slam.flush()
        return self

    @property
    def dense_views(self) -> list[KeyframeView]:
        return [event for event in self.events if isinstance(event, KeyframeView) and event.added is not None]


@pytest.fixture(scope="module")
def run(networks: NetworkPair, frames: list[Frame]) -> Run:
    return Run(networks, frames).flushed()


@pytest.fixture(scope="module")
def sparse(networks: NetworkPair, frames: list[Frame]) -> Run:
    return Run(networks, frames, dense=False).flushed()


def test_every_view_by_the_networks_is_replaced_by_a_dense_one_of_the_whole_image(run: Run) -> None:
    views = [event for event in run.events if isinstance(event, KeyframeView)]
    first = {view.id: view for view in views if view.added is None}
    dense = {view.id: view for view in run.dense_views}
    assert first.keys() == dense.keys() and len(dense) >= 5
    compared = 0
    for number, view in dense.items():
        before = first[number]
        assert views.index(before) < views.index(view)
        assert view.image.shape[:2] == (view.camera.height, view.camera.width) == view.header.size
        assert np.array_equal(view.image, before.image) and np.array_equal(view.T_world_camera, before.T_world_camera)
        known, by_networks = np.isfinite(view.depth), np.isfinite(before.depth)
        width = view.depth.shape[1]
        assert known.mean() > 0.6 and known[:, : width // 10].mean() > 0.3, "the networks see the centre only"
        assert not by_networks[:, : width // 10].any()
        sure = known & by_networks & (before.confidence >= run.slam.settings.map.point_confidence)
        if sure.mean() > 0.05:  # the networks know nothing of a view of which they are nowhere sure
            compared += 1
            assert np.median(np.abs(np.log(view.depth[sure] / before.depth[sure]))) < 0.1
    assert compared >= len(dense) - 2


def test_the_trajectory_is_that_without_dense_depth(run: Run, sparse: Run) -> None:
    poses, others = run.slam.trajectory(), sparse.slam.trajectory()
    assert len(poses) == len(others) >= FRAMES - 5
    for pose, other in zip(poses, others, strict=True):
        assert pose.stamp_ns == other.stamp_ns and np.array_equal(pose.T_world_camera, other.T_world_camera)


def test_the_map_is_of_the_dense_points(run: Run, sparse: Run) -> None:
    points = run.slam.map_points()
    assert len(points) == run.slam.status().map_points > 1.5 * len(sparse.slam.map_points())
    assert run.slam.status().voxel_size == sparse.slam.status().voxel_size < 0.02
    added = sum(len(view.added) for view in run.dense_views if view.added is not None)
    assert 0.8 * len(points) < added <= 1.5 * len(points)
    assert points.confidence.min() >= run.slam.settings.map.point_confidence


def test_results_do_not_depend_on_speed(run: Run, networks: NetworkPair, frames: list[Frame]) -> None:
    again = Run(networks, frames).flushed()
    assert [type(event) for event in again.events] == [type(event) for event in run.events]
    assert np.array_equal(again.slam.map_points().points_world, run.slam.map_points().points_world)


def test_what_waits_moves_with_a_closed_loop(run: Run, networks: NetworkPair, frames: list[Frame]) -> None:
    moved = Run(networks, frames)
    moved.events += moved.slam.finish_pending()
    told = len(moved.dense_views)
    stage = moved.slam._mapping._dense_depth
    assert stage is not None
    change = Sim3(np.array([2.0]), np.eye(3)[None], np.array([[1.0, 0.0, -3.0]]))
    stage.correct(MapCorrection(np.array([0]), change))
    late = [answer.view for answer in stage.flush()]
    expected = run.dense_views[told:]
    assert len(late) == len(expected) > 2
    for view, before in zip(late, expected, strict=True):
        assert view.id == before.id
        np.testing.assert_allclose(
            view.T_world_camera, rigid(before.T_world_camera[:3, :3], 2 * before.T_world_camera[:3, 3] + [1, 0, -3])
        )
        known = np.isfinite(before.depth)
        assert np.mean(np.isfinite(view.depth) == known) > 0.99
        both = known & np.isfinite(view.depth)
        np.testing.assert_allclose(np.median(view.depth[both] / before.depth[both]), 2.0, rtol=1e-3)


@pytest.mark.parametrize("is_behind", [False, True])
def test_live_every_view_is_answered_in_the_end(networks: NetworkPair, frames: list[Frame], is_behind: bool) -> None:
    told: list[Update] = []
    slam = Slam(networks, SlamSettings(), told.append)
    slam._mapping.is_behind = lambda: is_behind
    for frame in frames:
        slam.push(frame)
        slam.finish_pending(wait=False)
    if is_behind:  # tracking needs the machine
        assert all(event.added is None for event in told if isinstance(event, KeyframeView))
    slam.flush()
    views = [event for event in told if isinstance(event, KeyframeView)]
    dense = {view.id for view in views if view.added is not None}
    assert dense == {view.id for view in views} and len(dense) >= 5

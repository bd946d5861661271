"""The engine with image tracks, on networks that are wrong in a known way."""

import threading
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from slam3r_lab.evaluation.alignment import similarity_of_positions
from slam3r_lab.oracle import oracle_networks
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_lab.sequences.truth import true_pointmap
from slam3r_ros.engine.slam import Slam
from slam3r_ros.odometry import odometry_stage as stage
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame, MapUpdate, State


@cache
def run(
    sequence: ImageSequence, oracle: str, listener: Callable[[MapUpdate], None] | None = None, **values: object
) -> list[MapUpdate]:
    """The same run serves several tests."""
    dotted = {name.replace("__", "."): value for name, value in values.items()}
    slam = Slam(oracle_networks(sequence, oracle), SlamSettings().with_values({"window.stride": 2, **dotted}))
    slam.listener = listener
    updates: list[MapUpdate] = []
    for frame in sequence.frames:
        image = sequence.image(frame)
        updates += slam.push(Frame(frame.stamp_ns, image, sequence.camera_of(image)))
    return updates + slam.flush()


def position_error(sequence: ImageSequence, updates: list[MapUpdate]) -> float:
    """Root mean square after the best similarity, metres."""
    known = [(u.pose, sequence.frames[u.index].T_world_camera) for u in updates if u.state is State.TRACKING]
    estimated = np.array([pose.T_world_camera[:3, 3] for pose, _ in known if pose is not None])
    true = np.array([T[:3, 3] for _, T in known if T is not None])
    assert len(estimated) == len(true) == len(sequence)
    return float(np.sqrt(((similarity_of_positions(estimated, true).apply(estimated) - true) ** 2).sum(axis=1).mean()))


@pytest.mark.parametrize("lookahead", [0, -1])
def test_tracks_take_most_of_the_noise_out_of_the_trajectory(rendered: ImageSequence, lookahead: int) -> None:
    later = {"window__lookahead": lookahead} if lookahead else {}
    without = run(rendered, "noise=0.05", **later, pose__tracks="off")
    tracked = run(rendered, "noise=0.05", **later, pose__tracks="on")
    assert position_error(rendered, tracked) < 0.4 * position_error(rendered, without)


def test_points_move_with_the_pose_and_keep_their_place_in_the_image(rendered: ImageSequence) -> None:
    mapped = [update for update in run(rendered, "noise=0.05", pose__tracks="on") if update.points_world.size]
    assert len(mapped) > 10
    for update in mapped[::3]:
        assert update.pose is not None
        points = (update.points_world - update.pose.T_world_camera[:3, 3]) @ update.pose.T_world_camera[:3, :3]
        sure = (update.confidence > 1.5) & update.points_world.any(axis=2)
        width = sure.shape[1]
        columns = points[..., 0] / points[..., 2] * update.pose.focal_px + (width - 1) / 2
        assert np.median(np.abs(columns - np.arange(width))[sure]) < 0.03 * width


def test_exact_networks_stay_exact(rendered: ImageSequence) -> None:
    updates = run(rendered, "exact", pose__tracks="on")
    assert position_error(rendered, updates) < 1e-3
    assert all(update.points_world.size for update in updates), "exact networks know better than tracks: all are asked"


def test_networks_see_keyframes_only_and_the_poses_between_are_as_good(rendered: ImageSequence) -> None:
    every = run(rendered, "noise=0.05", pose__tracks="on", register__only_keyframes=False)
    keyframes = run(rendered, "noise=0.05", pose__tracks="on")
    assert [update.index for update in keyframes] == [update.index for update in every]
    between = [update for update in keyframes if not update.points_world.size]
    assert len(rendered) / 4 < len(between) < len(rendered) * 0.9
    assert all(update.held and not len(update.added) and update.registration is None for update in between)
    assert all(update.points_world.size for update in every)
    assert position_error(rendered, keyframes) < 1.5 * position_error(rendered, every) + 0.002


def test_poses_are_told_before_the_networks_are_asked(rendered: ImageSequence) -> None:
    heard: list[MapUpdate] = []
    returned = run(rendered, "noise=0.05", heard.append, pose__tracks="on")
    early = [update for update in heard if update.is_early]
    assert [update for update in heard if not update.is_early] == returned
    registered = {update.index: update for update in returned if update.registration is not None}
    assert len(early) > 0.6 * len(registered) and {update.index for update in early} <= registered.keys()
    for update in early:
        assert heard.index(registered[update.index]) > heard.index(update)
        assert not update.points_world.size and not update.new_keyframes
    first_heard = list({update.index: update for update in reversed(heard)}.values())
    assert position_error(rendered, first_heard) < 1.2 * position_error(rendered, returned) + 0.001
    assert list(dict.fromkeys(update.index for update in heard)) == list(range(len(rendered)))


def test_who_listens_may_hear_of_points_later_but_of_the_same(rendered: ImageSequence) -> None:
    unheard = run(rendered, "noise=0.05", pose__tracks="on")
    assert [update.index for update in unheard] == list(range(len(rendered)))
    heard = sorted(run(rendered, "noise=0.05", lambda update: None, pose__tracks="on"), key=lambda update: update.index)
    for one, other in zip(unheard, heard, strict=True):
        assert one.pose is not None and other.pose is not None
        np.testing.assert_array_equal(one.pose.T_world_camera, other.pose.T_world_camera)
        np.testing.assert_array_equal(one.points_world, other.points_world)
        assert len(one.added) == len(other.added)
        assert [record.index for record in one.new_keyframes] == [record.index for record in other.new_keyframes]


def test_points_that_are_still_being_moved_are_waited_for_only_where_that_is_asked(
    rendered: ImageSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SlamSettings().with_values({"window.stride": 2, "pose.tracks": "on"})
    slam, release = Slam(oracle_networks(rendered, "noise=0.05"), settings), threading.Event()
    moved, failing = stage._moved, [False]

    def slowly(*given: object) -> object:
        release.wait(10)
        if failing[0]:
            raise ValueError("no points")
        return moved(*given)  # type: ignore[arg-type]

    frames = iter(rendered.frames)

    def pushed() -> list[MapUpdate]:
        frame = next(frames)
        image = rendered.image(frame)
        return slam.push(Frame(frame.stamp_ns, image, rendered.camera_of(image)))

    while slam.status().state is not State.TRACKING or slam.is_unsettled:
        pushed()
    monkeypatch.setattr(stage, "_moved", slowly)
    slam.listener, keyframe = lambda update: None, -1
    while not slam.is_unsettled:
        pushed()
        keyframe = slam.status().processed - 1
    assert slam.settle(wait=False) == [] and slam.is_unsettled
    between = [update.index for _ in range(2) for update in pushed()]
    assert between == [keyframe + 1, keyframe + 2] and slam.is_unsettled  # the poses go on
    points = len(slam.map_points())
    release.set()
    assert [update.index for update in slam.settle()] == [keyframe]
    assert not slam.is_unsettled and len(slam.map_points()) > points
    failing[0] = True
    with pytest.raises(ValueError, match="no points"):
        while True:
            pushed()
    failing[0] = False
    assert [update.index for _ in range(5) for update in pushed()]  # those of one keyframe are lost, and no more
    assert slam.status().state is State.TRACKING


def test_only_keyframes_of_the_tracks_add_to_the_map(rendered: ImageSequence) -> None:
    every = run(rendered, "noise=0.05", pose__tracks="on", register__only_keyframes=False)
    assert sum(len(update.added) > 0 for update in every) < 0.8 * len(rendered)
    assert all(update.held == (len(update.added) == 0) for update in every)


def test_parallax_takes_most_of_the_noise_out_of_the_map(rendered: ImageSequence) -> None:
    """Errors of distances, in the frame's own unit, of the pixels that go into the map."""

    def errors(updates: list[MapUpdate]) -> float:
        found = []
        for update in updates[len(updates) // 3 :]:
            if update.held or update.pose is None:
                continue
            truth = true_pointmap(rendered, rendered.frames[update.index], update.confidence.shape)
            assert truth is not None
            T = update.pose.T_world_camera
            depths = ((update.points_world - T[:3, 3]) @ T[:3, :3])[..., 2]
            good = truth.valid & (update.confidence > 1.5) & (depths > 0)
            ratios = np.log(depths[good] / truth.points_camera[..., 2][good])
            found.append(np.median(np.abs(ratios - np.median(ratios))))
        return float(np.mean(found))

    for noise, left in ((0.05, 1.0), (0.1, 0.6)):
        without = run(rendered, f"noise={noise}", pose__tracks="off")
        assert errors(run(rendered, f"noise={noise}", pose__tracks="on")) < left * errors(without)


def test_without_tracks_nothing_changes(rendered: ImageSequence) -> None:
    """An oracle recommends none; what the settings say goes before that."""
    one, other = run(rendered, "noise=0.05"), run(rendered, "noise=0.05", pose__tracks="off")
    tracked = run(rendered, "noise=0.05", pose__tracks="on")
    assert all(np.array_equal(a.points_world, b.points_world) for a, b in zip(one, other, strict=True))
    assert one[-1].pose is not None and tracked[-1].pose is not None
    assert not np.array_equal(one[-1].pose.T_world_camera, tracked[-1].pose.T_world_camera)


def test_reset_begins_the_tracks_again(rendered: ImageSequence) -> None:
    slam = Slam(
        oracle_networks(rendered, "noise=0.05"),
        SlamSettings().with_values({"window.stride": 2, "pose.tracks": "on", "keyframes.seed": 1}),
    )
    frames = [(frame, rendered.image(frame)) for frame in rendered.frames[:20]]
    runs = []
    for _ in range(2):
        updates: list[MapUpdate] = []
        for frame, image in frames:
            updates += slam.push(Frame(frame.stamp_ns, image, rendered.camera_of(image)))
        runs.append([update.pose.T_world_camera for update in updates if update.pose is not None])
        slam.reset("test")
    assert len(runs[0]) == len(runs[1]) == 20
    assert slam.status().stage_ms["tracks"] > 0

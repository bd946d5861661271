"""The engine with image tracks, on networks that are wrong in a known way."""

import threading
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from engine_events import final_updates, is_keyframe_pose, without_views

from slam3r_lab.evaluation.alignment import similarity_of_positions
from slam3r_lab.oracle import oracle_networks
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_lab.sequences.truth import true_pointmap
from slam3r_ros.engine.events import OnUpdate, Update, map_updates
from slam3r_ros.engine.slam import Slam
from slam3r_ros.odometry import odometry_stage as stage
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame, MapUpdate, PoseUpdate, State

EVERY_FRAME = {"register__only_keyframes": False}


@cache
def events_of(
    sequence: ImageSequence, oracle: str, on_update: OnUpdate | None = None, **values: object
) -> tuple[Update, ...]:
    """The same run serves several tests."""
    dotted = {name.replace("__", "."): value for name, value in values.items()}
    settings = SlamSettings().with_values({"window.stride": 2, **dotted})
    slam = Slam(oracle_networks(sequence, oracle), settings, on_update)
    events: list[Update] = []
    for frame in sequence.frames:
        image = sequence.image(frame)
        events += slam.push(Frame(frame.stamp_ns, image, sequence.camera_of(image)))
    return (*events, *slam.flush())


def run(
    sequence: ImageSequence, oracle: str, on_update: OnUpdate | None = None, **values: object
) -> list[PoseUpdate | MapUpdate]:
    """What is known of each frame in the end."""
    return final_updates(events_of(sequence, oracle, on_update, **values))


def position_error(sequence: ImageSequence, updates: Sequence[PoseUpdate | MapUpdate]) -> float:
    """Root mean square after the best similarity, metres."""
    tracked = [u for u in updates if isinstance(u, PoseUpdate) or u.state is State.TRACKING]
    known = [(u.pose, sequence.frames[u.index].T_world_camera) for u in tracked]
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
    mapped = map_updates(events_of(rendered, "noise=0.05", pose__tracks="on"))
    assert len(mapped) > 10
    for update in mapped[::3]:
        assert update.pose is not None
        pointmaps, T = update.pointmaps, update.pose.T_world_camera
        points = (pointmaps.points_world - T[:3, 3]) @ T[:3, :3]
        sure = (pointmaps.confidence > 1.5) & pointmaps.points_world.any(axis=2)
        width = sure.shape[1]
        columns = points[..., 0] / points[..., 2] * update.pose.focal_px + (width - 1) / 2
        assert np.median(np.abs(columns - np.arange(width))[sure]) < 0.03 * width


def test_exact_networks_stay_exact(rendered: ImageSequence) -> None:
    updates = run(rendered, "exact", pose__tracks="on")
    assert position_error(rendered, updates) < 1e-3
    assert len(map_updates(updates)) == len(updates), "exact networks know better than tracks: all are asked"


def test_networks_see_keyframes_only_and_the_poses_between_are_as_good(rendered: ImageSequence) -> None:
    every = run(rendered, "noise=0.05", pose__tracks="on", **EVERY_FRAME)
    keyframes = run(rendered, "noise=0.05", pose__tracks="on")
    assert [update.index for update in keyframes] == [update.index for update in every]
    between = [update for update in keyframes if isinstance(update, PoseUpdate)]
    assert len(rendered) / 4 < len(between) < len(rendered) * 0.9
    mapped = map_updates(events_of(rendered, "noise=0.05", pose__tracks="on"))
    assert len(mapped) + len(between) == len(rendered)
    assert not {i for u in mapped if u.registration for i in u.registration.registered} & {u.index for u in between}
    assert len(map_updates(every)) == len(every)
    assert not any(is_keyframe_pose(u) for u in events_of(rendered, "noise=0.05", pose__tracks="on", **EVERY_FRAME))
    assert position_error(rendered, keyframes) < 1.5 * position_error(rendered, every) + 0.002


def test_poses_are_told_before_the_networks_are_asked(rendered: ImageSequence) -> None:
    heard: list[Update] = []
    events = events_of(rendered, "noise=0.05", heard.append, pose__tracks="on")
    assert heard == list(events)
    returned = final_updates(events)
    early = [event for event in heard if isinstance(event, PoseUpdate) and event.is_keyframe]
    registered = {update.index: update for update in map_updates(returned) if update.registration is not None}
    assert len(early) > 0.6 * len(registered) and {update.index for update in early} <= registered.keys()
    for update in early:
        assert heard.index(registered[update.index]) > heard.index(update)
    of_frames = [event for event in heard if isinstance(event, PoseUpdate | MapUpdate)]
    first_heard = list({update.index: update for update in reversed(of_frames)}.values())
    assert position_error(rendered, first_heard) < 1.2 * position_error(rendered, returned) + 0.001
    assert list(dict.fromkeys(update.index for update in of_frames)) == list(range(len(rendered)))


def test_a_frame_has_one_pose_of_its_tracks_and_one_of_the_map(rendered: ImageSequence) -> None:
    """Whether somebody listens or not."""
    for on_update in (None, lambda update: None):
        events = events_of(rendered, "noise=0.05", on_update, pose__tracks="on")
        of_tracks = [event.index for event in events if isinstance(event, PoseUpdate)]
        of_map = [update.index for update in map_updates(events)]
        assert of_tracks == sorted(set(of_tracks)) and of_map == sorted(set(of_map))
        assert {event.index for event in events if is_keyframe_pose(event)} == set(of_tracks) & set(of_map)
        for event in events:
            if isinstance(event, PoseUpdate | MapUpdate):
                assert event.header.stamp_ns == rendered.frames[event.index].stamp_ns


def test_who_listens_may_hear_of_points_later_but_of_the_same(rendered: ImageSequence) -> None:
    settings = {"pose__tracks": "on", "map__dense": False}  # whoever listens does not wait for dense depth
    unheard = run(rendered, "noise=0.05", **settings)
    assert [update.index for update in unheard] == list(range(len(rendered)))
    heard = sorted(run(rendered, "noise=0.05", lambda update: None, **settings), key=lambda update: update.index)
    for one, other in zip(unheard, heard, strict=True):
        assert one.pose is not None and other.pose is not None and type(one) is type(other)
        np.testing.assert_array_equal(one.pose.T_world_camera, other.pose.T_world_camera)
    for one, other in zip(map_updates(unheard), map_updates(heard), strict=True):
        np.testing.assert_array_equal(one.pointmaps.points_world, other.pointmaps.points_world)
        assert len(one.added) == len(other.added)
        assert [record.index for record in one.new_keyframes] == [record.index for record in other.new_keyframes]


def test_points_that_are_still_being_moved_are_waited_for_only_where_that_is_asked(
    rendered: ImageSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SlamSettings().with_values({"window.stride": 2, "pose.tracks": "on"})
    slam, release = Slam(oracle_networks(rendered, "noise=0.05"), settings), threading.Event()
    moved, failing = stage._with_refined_points, [False]

    def slowly(*given: object) -> object:
        release.wait(60)
        if failing[0]:
            raise ValueError("no points")
        return moved(*given)  # type: ignore[arg-type]

    frames = iter(rendered.frames)

    def pushed() -> list[Update]:
        frame = next(frames)
        image = rendered.image(frame)
        return slam.push(Frame(frame.stamp_ns, image, rendered.camera_of(image)))

    while slam.status().state is not State.TRACKING or slam.has_pending:
        pushed()
    monkeypatch.setattr(stage, "_with_refined_points", slowly)
    slam.on_update, keyframe = lambda update: None, -1
    while not slam.has_pending:
        pushed()
        keyframe = slam.status().processed - 1
    assert slam.finish_pending(wait=False) == [] and slam.has_pending
    between = [event for _ in range(2) for event in pushed()]
    assert all(isinstance(event, PoseUpdate) and not event.is_keyframe for event in between)
    indices = [event.index for event in final_updates(between)]
    assert indices == [keyframe + 1, keyframe + 2] and slam.has_pending  # the poses go on
    points = len(slam.map_points())
    release.set()
    (update,) = without_views(slam.finish_pending())
    assert isinstance(update, MapUpdate) and update.index == keyframe
    assert not slam.has_pending and len(slam.map_points()) > points
    failing[0], told = True, list[Update]()
    slam.on_update = told.append

    def without_points() -> list[int]:
        """Keyframes that only have the pose of their tracks."""
        of_map = {update.index for update in map_updates(told)}
        return [each.index for each in told if is_keyframe_pose(each) and each.index not in of_map]

    with pytest.raises(ValueError, match="no points"):
        while True:
            pushed()
    failing[0], lost, goes_on = False, without_points(), slam.status().processed
    assert final_updates(event for _ in range(5) for event in pushed())
    slam.finish_pending()
    assert lost and without_points() == lost  # those of one keyframe are lost, and the frame in work, and no more
    assert len(lost) <= 2 and any(update.index >= goes_on for update in map_updates(told))
    assert slam.status().state is State.TRACKING


def test_only_keyframes_of_the_tracks_add_to_the_map(rendered: ImageSequence) -> None:
    every = run(rendered, "noise=0.05", pose__tracks="on", **EVERY_FRAME)
    mapped = map_updates(every)
    assert len(mapped) == len(rendered) and sum(len(update.added) > 0 for update in mapped) < 0.8 * len(rendered)
    assert all(update.is_excluded == (len(update.added) == 0) for update in mapped)


def test_parallax_takes_most_of_the_noise_out_of_the_map(rendered: ImageSequence) -> None:
    """Errors of distances, in the frame's own unit, of the pixels that go into the map."""

    def errors(updates: Sequence[PoseUpdate | MapUpdate]) -> float:
        found = []
        for update in updates[len(updates) // 3 :]:
            if isinstance(update, PoseUpdate) or update.is_excluded or update.pose is None:
                continue
            confidence, T = update.pointmaps.confidence, update.pose.T_world_camera
            truth = true_pointmap(rendered, rendered.frames[update.index], confidence.shape)
            assert truth is not None
            depths = ((update.pointmaps.points_world - T[:3, 3]) @ T[:3, :3])[..., 2]
            good = truth.valid & (confidence > 1.5) & (depths > 0)
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
    for a, b in zip(one, other, strict=True):
        assert isinstance(a, MapUpdate) and isinstance(b, MapUpdate)
        assert np.array_equal(a.pointmaps.points_world, b.pointmaps.points_world)
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
        events: list[Update] = []
        for frame, image in frames:
            events += slam.push(Frame(frame.stamp_ns, image, rendered.camera_of(image)))
        runs.append([update.pose.T_world_camera for update in final_updates(events) if update.pose is not None])
        slam.reset("test")
    assert len(runs[0]) == len(runs[1]) == 20
    assert slam.status().stage_ms["tracks"] > 0

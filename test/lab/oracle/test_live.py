"""The engine on two threads: poses go on whatever mapping does, and mapping's results come back to them.

Which thread is where is decided by the tests: mapping happens when they call `map`, or when they let a network go on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from slam3r_lab.evaluation.alignment import similarity_of_positions
from slam3r_lab.oracle import oracle_networks
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_ros.engine.events import Update, map_updates
from slam3r_ros.engine.live_slam import LiveSlam
from slam3r_ros.engine.live_tracking import MappingRequest
from slam3r_ros.engine.slam import Slam
from slam3r_ros.geometry.se3 import Array, invert_rigid, vector_from_rotation
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.odometry.frame_tracker import FrameTracker
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame, LocalPointmap, PoseUpdate, State, Window

STRIDE = 2
INITIAL = 4 * STRIDE + 1
"""Images of the initial window."""
SETTINGS = {"window.stride": STRIDE, "pose.tracks": "on"}


class Live:
    """The live engine on a sequence, and what it says."""

    def __init__(self, sequence: ImageSequence, **values: object) -> None:
        dotted = {name.replace("__", "."): value for name, value in values.items()}
        self.sequence, self.events, self.jump = sequence, list[Update](), 0
        settings = SlamSettings().with_values(SETTINGS | dotted)
        self.slam = LiveSlam(oracle_networks(sequence, "noise=0.05"), settings, self.events.append)

    def frame(self, number: int) -> Frame:
        """The image of this number, or, after a jump, one that comes so much later."""
        frame, shown = self.sequence.frames[number], self.sequence.frames[number + self.jump]
        image = self.sequence.image(shown)
        return Frame(frame.stamp_ns, image, self.sequence.camera_of(image), number=number)

    def black(self, number: int) -> Frame:
        return Frame(self.sequence.frames[number].stamp_ns, np.zeros_like(self.frame(number).image), number=number)

    def track(self, number: int) -> MappingRequest | None:
        return self.slam.track(self.frame(number))

    def push(self, first: int, end: int) -> None:
        for number in range(first, end):
            self.slam.push(self.frame(number))

    def track_to_keyframe(self, first: int) -> tuple[MappingRequest, int]:
        """Track until a frame is to be mapped; the request, and the number of the frame after it."""
        for number in range(first, len(self.sequence)):
            if (request := self.track(number)) is not None:
                return request, number + 1
        raise AssertionError("no frame became a keyframe")

    @property
    def poses(self) -> dict[int, PoseUpdate]:
        """The poses that were given at once, by the numbers of their frames."""
        poses = [event for event in self.events if isinstance(event, PoseUpdate)]
        assert [pose.index for pose in poses] == sorted({pose.index for pose in poses}), "in order, none twice"
        return {pose.index: pose for pose in poses}

    def error(self, poses: dict[int, PoseUpdate]) -> float:
        """Root mean square of the positions' errors after the best similarity, metres."""
        estimated = np.array([pose.pose.T_world_camera[:3, 3] for pose in poses.values()])
        true = np.array([self.true_pose(index)[:3, 3] for index in poses])
        return float(np.sqrt(((similarity_of_positions(estimated, true).apply(estimated) - true) ** 2).sum(1).mean()))

    def true_pose(self, index: int) -> Array:
        T = self.sequence.frames[index + self.jump].T_world_camera
        assert T is not None
        return T


@pytest.fixture
def live(rendered: ImageSequence) -> Live:
    """With a map of the initial window, and two frames tracked."""
    live = Live(rendered)
    live.push(0, INITIAL + 2)
    return live


def test_where_mapping_is_never_late_the_result_is_that_of_one_thread(rendered: ImageSequence) -> None:
    live = Live(rendered)
    live.push(0, len(rendered))
    live.slam.flush()
    one = Slam(oracle_networks(rendered, "noise=0.05"), SlamSettings().with_values(SETTINGS))
    for number in range(len(rendered)):
        one.push(live.frame(number))
    one.flush()
    assert [pose.stamp_ns for pose in live.slam.trajectory()] == [pose.stamp_ns for pose in one.trajectory()]
    for ours, theirs in zip(live.slam.trajectory(), one.trajectory(), strict=True):
        assert np.abs(ours.T_world_camera - theirs.T_world_camera).max() < 0.05
    assert live.slam.status().registered == pytest.approx(one.status().registered, abs=3)
    assert list(live.poses) == list(range(INITIAL, len(rendered)))
    assert live.error(live.poses) < 0.02


def test_poses_go_on_while_mapping_has_a_keyframe(live: Live) -> None:
    request, after = live.track_to_keyframe(INITIAL + 2)
    registered = live.slam.status().registered
    assert request.has_pose and not live.slam.is_behind
    for number in range(after, after + 12):
        assert live.track(number) is None, "mapping has a request"
    status = live.slam.status()
    assert set(range(after - 1, after + 12)) <= live.poses.keys()
    assert status.registered == registered and status.keyframes_thinned >= 1 and live.slam.is_behind
    assert status.state is State.TRACKING
    assert [index for index, pose in live.poses.items() if pose.is_keyframe][-1] == after - 1

    live.slam.map(request)
    assert live.slam.status().registered == registered + 1 and not live.slam.is_behind
    before = live.slam._live._tracker._tracker.local_map
    assert live.track(after + 12) is not None, "so far from the last keyframe it is the next"
    assert live.slam._live._tracker._tracker.local_map is not before, "tracking goes on with mapping's landmarks"
    assert live.error(live.poses) < 0.03


def test_a_keyframe_is_registered_with_its_own_window_and_its_pose_is_refined(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows: list[Window] = []
    estimate = live.slam._image_to_points.estimate

    def spy(given: list[Window]) -> list[LocalPointmap]:
        windows.extend(given)
        return estimate(given)

    monkeypatch.setattr(live.slam._image_to_points, "estimate", spy)
    request, after = live.track_to_keyframe(INITIAL + 2)
    for number in range(after, after + 5):
        live.track(number)
    stamps = [pose.stamp_ns for pose in live.slam.trajectory()]
    live.slam.map(request)
    live.slam.finish_pending()
    keyframe = after - 1
    assert [window.reference.index for window in windows] == [keyframe]
    assert {source.index for source in windows[0].sources} <= {keyframe - STRIDE * i for i in range(1, 6)}
    update = map_updates(live.events)[-1]
    assert update.index == keyframe and update.pose is not None
    trajectory = live.slam.trajectory()
    assert [pose.stamp_ns for pose in trajectory] == stamps, "the refined pose takes the place of the first one"
    np.testing.assert_array_equal(
        trajectory[stamps.index(update.header.stamp_ns)].T_world_camera, update.pose.T_world_camera
    )


def test_tracks_that_do_not_hold_for_an_image_hold_again_without_the_networks(live: Live) -> None:
    request, after = live.track_to_keyframe(INITIAL + 2)
    assert live.slam.track(live.black(after)) is None
    live.track(after + 1)
    assert after not in live.poses and after + 1 in live.poses
    assert live.slam.status().state is State.TRACKING
    assert request.has_pose


def test_a_lost_frame_goes_through_the_networks_once_mapping_is_free(live: Live) -> None:
    """The camera jumps to where it is much later: the tracks are lost, and the networks know the place."""
    request, after = live.track_to_keyframe(INITIAL + 2)
    live.jump = 44 - after
    assert live.track(after) is None, "mapping has a request"
    assert after not in live.poses
    live.jump = 20
    live.slam.map(request)
    lost = live.track(after + 1)
    assert lost is not None and not lost.has_pose and live.slam.status().state is State.LOST
    live.slam.map(lost)
    for number in range(after + 2, after + 8):
        if (request := live.track(number)) is not None:  # type: ignore[assignment]
            live.slam.map(request)
    assert live.slam.status().state is State.TRACKING and after + 7 in live.poses
    assert live.error({index: pose for index, pose in live.poses.items() if index > after}) < 0.03


def test_what_was_asked_for_an_old_map_is_passed_over(live: Live) -> None:
    request, after = live.track_to_keyframe(INITIAL + 2)
    live.slam.reset("a test asks")
    assert live.slam.map(request) == [] and live.slam.status().registered == 0 and live.slam.trajectory() == []
    assert live.slam.status().reason == "a test asks"
    live.events.clear()
    live.push(after, after + INITIAL + 4)
    assert live.slam.status().state is State.TRACKING and live.slam.status().registered > 0
    assert list(live.poses) == list(range(after + INITIAL, after + INITIAL + 4))


def corrected(live: Live, moved: Sim3) -> None:
    """What mapping does when a loop is closed that moves all of the world."""
    changes = Sim3(moved.scale[None], moved.rotation[None], moved.translation[None])
    live.slam._map_state.correct(MapCorrection(np.array([0]), changes))
    odometry = live.slam._mapping._refinement._odometry
    assert odometry is not None
    odometry.correct(moved)


def motions(live: Live, numbers: range) -> tuple[Array, Array]:
    """(N - 1, 4, 4) motions from each of N frames to the next by dead reckoning, and their true rotations and
    translations in the length of the first."""
    reckoned, true = [], []
    for number in numbers[1:]:
        before, now = (live.poses[each].pose.reckoning for each in (number - 1, number))
        assert before is not None and now is not None
        motion = before.motion_to(now)
        assert motion is not None, f"the motion to {number} is known"
        reckoned.append(motion)
        true.append(invert_rigid(live.true_pose(number - 1)) @ live.true_pose(number))
    return np.array(reckoned), np.array(true)


def test_dead_reckoning_goes_on_smoothly_whatever_corrects_the_map(live: Live) -> None:
    """Keyframes are mapped and come back while the camera moves, and a loop moves the world."""
    first, last = INITIAL + 1, len(live.sequence) - 1
    request: MappingRequest | None = None
    for number in range(INITIAL + 2, last + 1):
        request = live.track(number) or request
        if request is not None and number % 4 == 3:
            live.slam.map(request)
            request = None
        if number == last - 8:
            corrected(live, Sim3(np.array(1.0), np.eye(3), np.array([10.0, 0.0, 0.0])))
    poses = [live.poses[number].pose.T_world_camera for number in range(first, last + 1)]
    assert max(np.linalg.norm(np.diff([T[:3, 3] for T in poses], axis=0), axis=1)) > 9, "the map jumps"
    reckoned, true = motions(live, range(first, last + 1))
    lengths, true_lengths = (np.linalg.norm(each[:, :3, 3], axis=1) for each in (reckoned, true))
    unit = lengths.sum() / true_lengths.sum()
    errors = np.linalg.norm(reckoned[:, :3, 3] / unit - true[:, :3, 3], axis=1)
    assert errors.mean() < 0.2 * true_lengths.mean() and errors.max() < 0.5 * true_lengths.mean()
    turns = vector_from_rotation(reckoned[:, :3, :3].swapaxes(1, 2) @ true[:, :3, :3])
    assert np.linalg.norm(turns, axis=1).max() < np.radians(0.3)


def test_dead_reckoning_knows_that_it_missed_a_jump(live: Live) -> None:
    number = INITIAL + 2
    live.push(number, number + 3)
    before = live.poses[number + 2].pose.reckoning
    live.jump = 12
    live.push(number + 3, len(live.sequence) - live.jump)
    after = live.poses[max(live.poses)].pose.reckoning
    assert before is not None and after is not None and max(live.poses) > number + 4
    assert before.motion_to(after) is None


@pytest.mark.parametrize("mapped_first", [False, True])
def test_a_closed_loop_moves_the_poses_that_follow(live: Live, mapped_first: bool) -> None:
    """Before or after mapping has the keyframe that is on its way."""
    moved = Sim3(np.array(2.0), np.eye(3), np.array([10.0, 0.0, 0.0]))
    request, after = live.track_to_keyframe(INITIAL + 2)
    live.track(after)
    before = live.poses[after].pose
    if mapped_first:
        live.slam.map(request)
    corrected(live, moved)
    live.track(after + 1)
    if not mapped_first:
        live.slam.map(request)
    live.track(after + 2)
    step = np.linalg.norm(live.true_pose(after + 2)[:3, 3] - live.true_pose(after)[:3, 3])
    unit = np.linalg.norm(
        before.T_world_camera[:3, 3] - live.poses[INITIAL].pose.T_world_camera[:3, 3]
    ) / np.linalg.norm(live.true_pose(after)[:3, 3] - live.true_pose(INITIAL)[:3, 3])
    expected = 2 * before.T_world_camera[:3, 3] + [10, 0, 0]
    for number in (after + 1, after + 2):
        pose = live.poses[number].pose
        assert np.linalg.norm(pose.T_world_camera[:3, 3] - expected) < 2 * unit * step * 1.5 + 0.02
        if number == after + 1 and not mapped_first:  # else by the points of another keyframe
            assert pose.scale == pytest.approx(2 * before.scale)
    trajectory = {pose.stamp_ns: pose.T_world_camera for pose in live.slam.trajectory()}
    np.testing.assert_allclose(trajectory[live.frame(after).stamp_ns][:3, 3], expected, atol=1e-9)


def test_images_of_another_size_begin_a_new_window_of_odometry(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pixel is three by three pixels from now on; the oracle knows the small images only."""
    cropped, number = live.slam.encoder._cropped, INITIAL + 2
    height = live.frame(0).image.shape[0]
    monkeypatch.setattr(
        live.slam.encoder, "_cropped", lambda image: cropped(image[1::3, 1::3] if len(image) > height else image)
    )
    for offset in range(14):
        frame = live.frame(number + offset)
        image = np.repeat(np.repeat(frame.image, 3, axis=0), 3, axis=1)
        live.slam.push(Frame(frame.stamp_ns, image, number=number + offset))
    assert live.slam.status().state is State.TRACKING
    assert number + 13 in live.poses


def test_an_error_in_mapping_leaves_tracking_as_it_is(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    request, after = live.track_to_keyframe(INITIAL + 2)
    with monkeypatch.context() as patch:
        patch.setattr(live.slam._local_to_world, "register", lambda *_: (_ for _ in ()).throw(RuntimeError("device")))
        with pytest.raises(RuntimeError, match="device"):
            live.slam.map(request)
    again, after = live.track_to_keyframe(after)
    assert again is not None and after - 1 in live.poses
    live.slam.map(again)
    live.track(after)
    assert live.slam.status().state is State.TRACKING and after in live.poses


def test_an_initial_map_is_made_of_the_newest_frames(rendered: ImageSequence) -> None:
    """While mapping tries others, frames come; those that no window can reach any more are let go."""
    live = Live(rendered)
    requests = [live.track(number) for number in range(20)]
    assert all(request is not None and request.is_initial for request in requests)
    assert requests[-1] is not None
    assert [frame.index for frame in requests[-1].frames] == list(range(20 - INITIAL, 20))
    assert live.poses == {}
    live.slam.map(requests[-1])
    assert live.slam.status().state is State.TRACKING
    live.track(20)
    assert list(live.poses) == [20]
    assert requests[-2] is not None and live.slam.map(requests[-2]) == [], "there is a map already"


def test_tracking_catches_up_with_an_initial_map_that_took_long(rendered: ImageSequence) -> None:
    live = Live(rendered)
    request = None
    for number in range(INITIAL):
        request = live.track(number)
    assert request is not None
    for number in range(INITIAL, INITIAL + 15):
        live.track(number)
    live.slam.map(request)
    for number in range(INITIAL + 15, INITIAL + 20):
        live.track(number)
    assert list(live.poses) == list(range(INITIAL + 15, INITIAL + 20))
    assert live.error(live.poses) < 0.01


def test_at_its_end_a_short_stream_gives_a_map(rendered: ImageSequence) -> None:
    """Of its frames 0, 2 and 4, and those between them."""
    live = Live(rendered)
    live.push(0, INITIAL - 3)
    assert live.slam.status().registered == 0
    live.slam.flush()
    assert live.slam.status().registered == INITIAL - 4 and live.slam.status().map_points > 0


@pytest.fixture
def blocked(live: Live, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """L2W says when it begins, and goes on when it may."""
    began, may_go_on, register = threading.Event(), threading.Event(), live.slam._local_to_world.register

    def wait(*arguments: object) -> object:
        began.set()
        assert may_go_on.wait(60.0)
        return register(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(live.slam._local_to_world, "register", wait)
    yield began, may_go_on
    may_go_on.set()


def test_a_network_that_takes_long_holds_no_pose_up(
    live: Live, blocked: tuple[threading.Event, threading.Event]
) -> None:
    """On two threads: the network goes on only when the poses are there."""
    began, may_go_on = blocked
    request, after = live.track_to_keyframe(INITIAL + 2)
    mapping = threading.Thread(target=lambda: live.slam.map(request))
    mapping.start()
    assert began.wait(60.0)
    for number in range(after, after + 6):
        live.track(number)
    assert after + 5 in live.poses and mapping.is_alive()
    may_go_on.set()
    mapping.join(60.0)
    assert not mapping.is_alive()
    again, after = live.track_to_keyframe(after + 6)
    assert again.has_pose and live.error(live.poses) < 0.03


def test_frames_wait_for_no_later_ones() -> None:
    """Where they do, or where nothing tracks, one thread does all."""
    settings = SlamSettings().with_values({"window.stride": 3, "pose.tracks": "on"})
    assert LiveSlam.can_run(settings)
    assert not LiveSlam.can_run(settings.with_values({"pose.tracks": "off"}))
    assert not LiveSlam.can_run(settings.with_values({"register.only_keyframes": False}))
    assert not LiveSlam.can_run(settings.with_values({"window.lookahead": 1, "window.radius": 2}))


def test_a_result_that_tracking_cannot_take_does_not_change_the_focal_length(live: Live) -> None:
    """The landmarks that tracking goes on with were mapped with the focal length that it has."""
    request, after = live.track_to_keyframe(INITIAL + 2)
    live.slam.map(request)
    tracker = live.slam._live._tracker
    live.track(after)
    focal = tracker._cameras.focal
    assert focal is not None
    state = replace(live.slam._mapping.tracking_state(), tracker=FrameTracker(), focal=2 * focal)
    newest = live.slam._live._ring[live.slam._live._ring.newest]
    assert tracker.take(state, after, newest) is None
    assert tracker._cameras.focal == focal

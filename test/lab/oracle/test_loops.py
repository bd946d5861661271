"""The engine closes loops: a camera that goes along a wall and comes back, its tracks led astray on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest
from engine_events import final_updates, is_keyframe_pose
from numpy.typing import NDArray
from plane_scene import MATRIX, SIDE, depths, image, pose

from slam3r_lab.oracle import oracle_networks
from slam3r_lab.sequences.sequence import DepthFormat, ImageSequence, SequenceFrame
from slam3r_ros.engine.events import MappedPlace, Update
from slam3r_ros.engine.slam import Slam
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure import place_graph
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.tuning import TUNING
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame, MapUpdate, PoseUpdate

STEP_NS = 100_000_000
THERE = np.arange(0, 40, 2.0)
NUMBERS = np.concatenate([THERE, THERE[-2::-1]])
"""Of the plane scene's poses."""
ASTRAY_AT = 15
ASTRAY = Sim3(1.15, cv2.Rodrigues(np.array([0.05, 0.1, 0.0]))[0], np.array([0.1, 0.2, 0.0]))
"""How the tracks' world is moved there, of which nobody is told."""
APART = 10
"""Places between two that may close a loop, in this short run."""


@pytest.fixture(scope="module")
def there_and_back(tmp_path_factory: pytest.TempPathFactory) -> ImageSequence:
    folder, frames = tmp_path_factory.mktemp("wall"), list[SequenceFrame]()
    for index, number in enumerate(NUMBERS):
        T, paths = pose(number), [folder / f"{index}{what}.png" for what in ("", "d")]
        depth = cv2.resize(depths(T), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        cv2.imwrite(str(paths[0]), np.dstack([image(T)] * 3))
        cv2.imwrite(str(paths[1]), np.rint(depth * 10_000).astype(np.uint16))
        frames.append(SequenceFrame(index, index * STEP_NS, paths[0], paths[1], T))
    camera = Camera(SIDE, SIDE, MATRIX[0, 0], MATRIX[1, 1], MATRIX[0, 2], MATRIX[1, 2])
    return ImageSequence("there and back", "test", tuple(frames), camera, DepthFormat(10_000.0))


@dataclass
class Moment:
    """What the engine holds."""

    stamps: Array
    poses: Array
    keyframes: list[int]
    keyframe_poses: Array
    points: Array
    point_frames: Array
    buffer: list[Array]
    buffer_frames: tuple[int, ...]


def moment(slam: Slam) -> Moment:
    records, buffer = slam.keyframes(), slam._mapping._buffer
    assert buffer is not None
    points = slam.map_points().points_world
    return Moment(
        np.array([each.stamp_ns for each in slam.trajectory()]),
        np.array([each.T_world_camera for each in slam.trajectory()]),
        [record.index for record in records],
        np.array([record.pose.T_world_camera for record in records if record.pose is not None]),
        points,
        slam._map_state.map._column("frames")[slam._map_state.map._column("weight") > 0],
        [buffer[position].points_world.numpy().copy() for position in range(len(buffer))],
        buffer.indices,
    )


@dataclass
class Run:
    slam: Slam
    events: list[Update] = field(default_factory=list)
    corrections: list[tuple[MapCorrection, Moment, Moment]] = field(default_factory=list)
    """Each, and what was held before and after it."""

    @property
    def updates(self) -> list[PoseUpdate | MapUpdate]:
        """The last event of each frame."""
        return final_updates(self.events)


@pytest.fixture(scope="module", autouse=True)
def loops_are_short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place_graph, "TUNING", replace(TUNING, min_places_apart=APART, min_place_motion=0.0))
        yield


def started(sequence: ImageSequence) -> Slam:
    settings = SlamSettings().with_values(
        {"window.stride": 1, "pose.tracks": "on", "map.dense": False, "map.voxel_size": 1e-4}
    )
    return Slam(oracle_networks(sequence, "noise=0.05", image_size=(64, 64)), settings)


def pushed(slam: Slam, sequence: ImageSequence, first: int, end: int, astray: Sim3 = ASTRAY) -> list[Update]:
    """Frames from the first to before the end, five at a time, so that a loop is closed between frames of one push."""
    events: list[Update] = []
    while first < end:
        if first == ASTRAY_AT:
            odometry = slam._mapping._refinement._odometry
            assert odometry is not None
            odometry._visual_odometry.transform(astray)
        batch = sequence.frames[first : min(first + 5, end)]
        images = [sequence.image(frame) for frame in batch]
        events += slam.push(*(Frame(f.stamp_ns, i, sequence.camera_of(i)) for f, i in zip(batch, images, strict=True)))
        first += 5
    return events


@pytest.fixture(scope="module")
def run(there_and_back: ImageSequence) -> Run:
    slam = started(there_and_back)
    result, close = Run(slam), slam._mapping.close_loop

    def spy(*, wait: bool = True) -> Iterator[MapCorrection | MappedPlace]:
        before = moment(slam)
        for event in close(wait=wait):
            if isinstance(event, MapCorrection):
                assert slam._mapping._buffer is not None
                slam._mapping._buffer.apply_corrections()
                result.corrections.append((event, before, moment(slam)))
            yield event

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slam._mapping, "close_loop", spy)
        result.events += pushed(slam, there_and_back, 0, len(there_and_back)) + slam.finish_pending()
    return result


def gap(poses: Array, number: int) -> float:
    """Between where the camera was on its way and where it was when it was there again."""
    return float(np.linalg.norm(poses[number, :3, 3] - poses[len(NUMBERS) - 1 - number, :3, 3]))


def test_each_closing_is_told_once_and_before_the_first_frame_after_it(run: Run) -> None:
    assert [update.index for update in run.updates] == list(range(len(NUMBERS)))
    told = [place for place, event in enumerate(run.events) if isinstance(event, MapCorrection)]
    assert [run.events[place] for place in told] == [correction for correction, _, _ in run.corrections]
    assert len(told) == run.slam.status().loops_closed >= 1
    corrected = [final_updates(run.events[place:])[0].index for place in told]
    for place, index, (_, before, _) in zip(told, corrected, run.corrections, strict=True):
        assert index == len(before.stamps)  # all frames were tracked, those before it in the world as it was
        assert [update.index for update in final_updates(run.events[:place])] == list(range(index))
    assert any(index % 5 for index in corrected)  # not only the first of those pushed together


def test_the_pose_of_a_keyframe_is_told_first_and_then_the_keyframe(run: Run) -> None:
    early = [event for event in run.events if is_keyframe_pose(event)]
    registered = {event.index: event for event in run.events if isinstance(event, MapUpdate)}
    assert len(early) > 5 and {event.index for event in early} <= registered.keys()
    for event in early:
        assert run.events.index(registered[event.index]) > run.events.index(event)
    first_told = dict.fromkeys(event.index for event in run.events if isinstance(event, PoseUpdate | MapUpdate))
    assert list(first_told) == list(range(len(NUMBERS)))


def test_the_closing_brings_back_what_was_led_astray(run: Run) -> None:
    _, before, _ = run.corrections[0]
    final = np.array([each.T_world_camera for each in run.slam.trajectory()])
    corrected = len(before.stamps)
    met = len(NUMBERS) - 1 - (corrected - 1)  # where the camera was when it last was there before
    assert np.linalg.norm(before.poses[corrected - 1, :3, 3] - before.poses[met, :3, 3]) > 0.15
    assert gap(final, met) < 0.13 and gap(final, 0) < 0.1
    # Tracking goes on in the corrected world: in its scale, as on the way there.
    true = np.array([pose(number) for number in NUMBERS])
    steps, true_steps = (np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1) for poses in (final, true))
    scales = steps / true_steps
    np.testing.assert_allclose(scales[corrected:], np.median(scales[:ASTRAY_AT]), rtol=0.25)
    assert steps[corrected - 1] < 2 * steps[corrected]


def test_everything_that_is_held_moves_as_one(run: Run) -> None:
    for correction, before, after in run.corrections:
        assert np.array_equal(before.stamps, after.stamps) and before.keyframes == after.keyframes
        frames = before.stamps // STEP_NS
        np.testing.assert_allclose(after.poses, correction.of_poses(frames, before.poses))
        np.testing.assert_allclose(
            after.keyframe_poses, correction.of_poses(np.array(before.keyframes), before.keyframe_poses)
        )
        assert np.abs(after.poses - before.poses).max() > 0.05
        where = {int(stamp // STEP_NS): T for stamp, T in zip(after.stamps, after.poses, strict=True)}
        assert all(np.allclose(where[i], T) for i, T in zip(after.keyframes, after.keyframe_poses, strict=True))
        moved = correction.of_points(before.point_frames, before.points)
        rows, expected = ({tuple(row) for row in np.round(points, 5)} for points in (after.points, moved))
        assert 100 < len(after.points) <= len(before.points) and rows <= expected
        for index, one, other in zip(before.buffer_frames, before.buffer, after.buffer, strict=True):
            points = one.reshape(-1, 3)
            moved = correction.of_points(np.full(len(points), index), points)
            moved[~points.any(axis=1)] = 0
            np.testing.assert_allclose(other.reshape(-1, 3), moved, atol=1e-4)


def test_a_loop_that_the_last_frame_has_found_is_closed_at_the_end(run: Run, there_and_back: ImageSequence) -> None:
    correction, before, after = run.corrections[0]
    slam, end = started(there_and_back), len(before.stamps)
    pushed(slam, there_and_back, 0, end)
    assert slam.status().loops_closed == 0
    np.testing.assert_allclose(moment(slam).poses, before.poses)
    event, place = slam.flush()
    assert isinstance(event, MapCorrection)
    assert isinstance(place, MappedPlace) and place.place.index == event.indices[-1]
    np.testing.assert_array_equal(event.indices, correction.indices)
    np.testing.assert_allclose(event.world_changes.scale, correction.world_changes.scale)
    assert slam.status().loops_closed == 1 and slam.status().map_points == len(slam.map_points())
    np.testing.assert_allclose(moment(slam).poses, after.poses)
    np.testing.assert_allclose(moment(slam).keyframe_poses, after.keyframe_poses)
    np.testing.assert_allclose(moment(slam).points, after.points)
    assert slam.flush() == [] and slam.status().loops_closed == 1
    events = pushed(slam, there_and_back, end, len(there_and_back))  # the stream goes on after all
    second = events.index(final_updates(events)[1])
    assert not any(isinstance(each, MapCorrection) for each in events[: second + 1])  # it is told once
    assert [each.index for each in final_updates(events)[:2]] == [end, end + 1]
    np.testing.assert_allclose(moment(slam).poses[end], run.updates[end].pose.T_world_camera)  # type: ignore[union-attr]


def test_a_correction_from_outside_turns_all_and_loops_are_closed_after_it(
    run: Run, there_and_back: ImageSequence
) -> None:
    turn = Sim3(np.ones(1), cv2.Rodrigues(np.array([0.4, 0.0, 0.2]))[0][None], np.zeros((1, 3)))
    asked_at = ASTRAY_AT - 5
    slam = started(there_and_back)
    events = pushed(slam, there_and_back, 0, asked_at)
    slam.request_correction(MapCorrection(np.zeros(1, np.int64), turn))
    astray = turn[0] @ ASTRAY @ turn[0].inverse()  # the same in the turned world
    events += pushed(slam, there_and_back, asked_at, len(NUMBERS), astray) + slam.flush()
    told = [event for event in events if isinstance(event, MapCorrection)]
    np.testing.assert_allclose(told[0].world_changes.rotation, turn.rotation)
    assert len(told) == 1 + len(run.corrections) and slam.status().loops_closed == len(run.corrections)
    turned = turn.apply_to_pose(moment(run.slam).poses)
    np.testing.assert_allclose(moment(slam).poses, turned, atol=0.03)
    turned_points = turn.apply(moment(run.slam).points.astype(np.float64))
    np.testing.assert_allclose(np.median(moment(slam).points, axis=0), np.median(turned_points, axis=0), atol=0.03)


def test_a_loop_is_closed_though_the_light_has_changed_on_the_way_back(there_and_back: ImageSequence) -> None:
    """From the turn on a lamp stands on one side, and everything is darker."""
    lamp = 0.7 * np.exp(np.linspace(0.5, -0.9, SIDE))[None, :, None]

    class Lit(ImageSequence):
        def image(self, frame: SequenceFrame) -> NDArray[np.uint8]:
            image = super().image(frame)
            return image if frame.index < len(THERE) else np.clip(image * lamp, 0, 255).astype(np.uint8)

    lit = Lit(there_and_back.name, "test", there_and_back.frames, there_and_back.recorded_camera, DepthFormat(10_000.0))
    slam = started(lit)
    events = pushed(slam, lit, 0, len(lit)) + slam.flush()
    assert slam.status().loops_closed >= 1
    assert len({event.index for event in final_updates(events)}) > 0.9 * len(NUMBERS)
    final = np.array([each.T_world_camera for each in slam.trajectory()])
    assert gap(final, 0) < 0.15

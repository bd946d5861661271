"""What is published once a loop was closed: the whole map anew, and no motion from one world into another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from geometry_msgs.msg import Pose, PoseArray
from nav_msgs.msg import Odometry, Path
from outputs_harness import Scene, estimate, keyframe_record, moved, ready_frame, update
from ros_harness import FIRST_NS, wait_until
from sensor_msgs.msg import PointCloud2

from slam3r_ros.engine.events import OnUpdate, Update
from slam3r_ros.engine.slam_status import SlamStatus
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.ros.output.status import StatusValues, status_message
from slam3r_ros.ros.output.tuning import TUNING
from slam3r_ros.ros.pipeline.slam_runner import NodeCallbacks, SlamRunner
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.ros.threads.counters import Counters
from slam3r_ros.ros.throttled_log import LogEntry
from slam3r_ros.types import KeyframeRecord, MapPoints, MapUpdate, PoseEstimate, StampedPose, State

STEP_NS = 100_000_000
PERIODS = {"path_period": 0.05, "map_period": 0.05}


CORRECTION = MapCorrection(np.array([0]), Sim3(np.ones(1), np.eye(3)[None], np.zeros((1, 3))))
"""Of no use but to be told: what it moves is told by the stand-ins for the engine."""


def at(z: float) -> PoseEstimate:
    return estimate(moved(z=z))


def tracked(number: int, z: float) -> MapUpdate:
    """Forward by z."""
    return update(moved(z=z), stamp_ns=FIRST_NS + number * STEP_NS, index=number)


def one_point(z: float) -> MapPoints:
    return MapPoints(np.array([[0, 0, z]], np.float32), np.zeros((1, 3), np.uint8), np.ones(1, np.float32))


@dataclass
class Engine:
    """Stands in for one that has closed a loop; all of it lies along the first camera's axis."""

    places: list[float] = field(default_factory=list)
    """Of the frames."""
    keyframe_places: list[float | None] = field(default_factory=list)
    point: float = 0.0

    def observe_scale(self, _: object) -> None:
        pass

    def trajectory(self) -> list[StampedPose]:
        return [StampedPose(FIRST_NS + number * STEP_NS, moved(z=z)) for number, z in enumerate(self.places)]

    def keyframes(self) -> list[KeyframeRecord]:
        poses = [None if z is None else at(z) for z in self.keyframe_places]
        return [keyframe_record(number, pose) for number, pose in enumerate(poses)]

    def map_points(self) -> MapPoints:
        return one_point(self.point)


def along(poses: list[Pose]) -> list[float]:
    """Forward is the map's x."""
    return [pose.position.x for pose in poses]


@pytest.mark.parametrize("unit", [0.0, 2.0])
def test_path_keyframes_and_map_are_published_anew_in_the_scale_that_is_set(scene: Scene, unit: float) -> None:
    paths: list[Path] = scene.camera.listen(Path, "/slam3r/path", LATCHED)
    keyframes: list[PoseArray] = scene.camera.listen(PoseArray, "/slam3r/keyframes", LATCHED)
    maps: list[PointCloud2] = scene.camera.listen(PointCloud2, "/slam3r/map_cloud", LATCHED)
    outputs, length = scene.outputs(scale=unit, **PERIODS), unit or 1.0
    engine = Engine()
    for number in range(4):
        engine.places.append(float(number))
        record = keyframe_record(number, at(number))
        outputs.publish(replace(tracked(number, number), added=one_point(5.0), new_keyframes=(record,)))
    wait_until(lambda: outputs._path.get_subscription_count() > 0, "the listener hears the path")
    wait_until(lambda: outputs._map_cloud.get_subscription_count() > 0, "the listener hears the map")
    wait_until(lambda: outputs._keyframes.get_subscription_count() > 0, "the listener hears keyframes")
    engine.places, engine.keyframe_places, engine.point = [0.0, 0.9, 1.8, 2.7], [0.0, None, 1.8], 4.5
    outputs.republish(engine)  # type: ignore[arg-type]

    def is_new() -> bool:
        return bool(paths and keyframes and maps) and len(paths[-1].poses) == 4

    wait_until(is_new, "path, keyframes and map")
    newest = FIRST_NS + 3 * STEP_NS
    for head in (paths[-1].header, keyframes[-1].header, maps[-1].header):
        assert head.frame_id == "map" and head.stamp.sec * 10**9 + head.stamp.nanosec == newest
    assert along([each.pose for each in paths[-1].poses]) == pytest.approx(
        [0, 0.9 * length, 1.8 * length, 2.7 * length]
    )
    stamps = [each.header.stamp.sec * 10**9 + each.header.stamp.nanosec for each in paths[-1].poses]
    assert stamps == [FIRST_NS + number * STEP_NS for number in range(4)]
    assert along(keyframes[-1].poses) == pytest.approx([0, 1.8 * length])
    assert np.frombuffer(maps[-1].data, np.float32)[0] == pytest.approx(4.5 * length)
    # What comes after it is added to what was corrected.
    record = keyframe_record(4, at(3.6))
    outputs.publish(replace(tracked(4, 3.6), new_keyframes=(record,)))

    def goes_on() -> bool:
        outputs.publish_due(engine)  # type: ignore[arg-type]
        return len(paths[-1].poses) == 5 and len(keyframes[-1].poses) == 3

    wait_until(goes_on, "path and keyframes that go on")
    assert along([each.pose for each in paths[-1].poses]) == pytest.approx(
        [length * z for z in (0, 0.9, 1.8, 2.7, 3.6)]
    )
    assert along(keyframes[-1].poses) == pytest.approx([0, 1.8 * length, 3.6 * length])


def test_the_jump_is_no_motion(scene: Scene) -> None:
    heard: list[Odometry] = scene.camera.listen(Odometry, "/slam3r/odometry")
    outputs = scene.outputs()
    wait_until(lambda: outputs._odometry.is_wanted, "the listener hears odometry")
    events = [tracked(0, 0.0), tracked(1, 0.1), CORRECTION, tracked(2, 0.7), tracked(3, 0.8)]
    gave_pose = []
    for number, event in enumerate(events):
        gave_pose.append(outputs.publish(event))
        if number == 3:  # with all of the frames that were pushed together with the one after it
            outputs.republish(Engine())  # type: ignore[arg-type]
    assert gave_pose == [True, True, False, True, True]
    wait_until(lambda: len(heard) == 4, "odometry")
    assert [message.twist.twist.linear.x for message in heard] == [0, 0, 0, 0]
    assert [message.twist.twist.linear.z for message in heard] == pytest.approx([0, 1.0, 0, 1.0])
    known = [message.twist.covariance[0] < TUNING.unknown_variance for message in heard]
    assert known == [False, True, False, True]
    assert [message.pose.pose.position.x for message in heard] == pytest.approx([0, 0.1, 0.7, 0.8])


def calls_of(outputs: Outputs, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows with what these outputs are asked to do, which they also do."""
    calls: list[str] = []

    def recorded(name: str, text: Callable[[object], str]) -> None:
        method = getattr(outputs, name)

        def call(given: object, *others: object) -> object:
            calls.append(text(given))
            return method(given, *others)

        monkeypatch.setattr(outputs, name, call)

    recorded("publish", lambda given: "correct" if isinstance(given, MapCorrection) else f"publish {given.index}")  # type: ignore[attr-defined]
    for name, text in (("republish", "republish"), ("reset", "reset"), ("publish_due", "due")):
        recorded(name, lambda _, text=text: text)  # type: ignore[misc]
    return calls


class Corrected(Engine):
    """Closes a loop with every third frame, and at the end."""

    is_localized = True

    flushes = next_index = 0
    on_update: OnUpdate = staticmethod(lambda _: None)

    def push(self, *frames: object) -> None:
        self.places += [0.0] * len(frames)
        for number in range(len(self.places) - len(frames), len(self.places)):
            if number % 3 == 2:
                self.on_update(CORRECTION)
            self.on_update(tracked(number, 0.0))

    def flush(self) -> list[Update]:
        self.flushes += 1
        self.on_update(CORRECTION)
        return [CORRECTION]

    def reset(self, reason: str) -> None:
        self.places, self.flushes = [], 0

    def status(self) -> SlamStatus:
        return SlamStatus(state=State.TRACKING, loops_closed=len(self.places) // 3 + self.flushes)


def test_the_map_is_renewed_once_and_after_what_was_pushed_together(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs, engine = scene.outputs(), Corrected()
    calls = calls_of(outputs, monkeypatch)
    events = NodeCallbacks(lambda: 0, lambda: None)
    mapping = SlamRunner(engine, outputs, scene.log, events, Counters())  # type: ignore[arg-type]
    ready = [ready_frame(number) for number in range(8)]
    mapping.process(ready[:2])
    mapping.process(ready[2:7])
    mapping.process(ready[7:])
    assert calls == [
        *("publish 0", "publish 1", "due"),
        *("correct", "publish 2", "publish 3", "publish 4", "correct", "publish 5", "publish 6", "due", "republish"),
        *("publish 7", "due"),
    ]


def test_the_map_is_renewed_too_when_a_loop_is_closed_with_no_frame_left(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs, engine = scene.outputs(), Corrected()
    calls = calls_of(outputs, monkeypatch)
    events = NodeCallbacks(lambda: 0, lambda: None)
    mapping = SlamRunner(engine, outputs, scene.log, events, Counters())  # type: ignore[arg-type]
    mapping.process([ready_frame()])
    mapping.flush()
    mapping.flush()
    assert calls == ["publish 0", "due", "correct", "due", "republish"]
    mapping.reset("why not")
    mapping.process([ready_frame(number) for number in range(2)])
    assert calls[5:] == ["reset", "publish 0", "publish 1", "due"]  # the new map has had no loop
    mapping.flush()
    assert calls[9:] == ["correct", "due", "republish"]


def test_the_status_counts_closed_loops() -> None:
    engine = SlamStatus(loops_closed=3)
    values = StatusValues(engine, Counters(), {}, False, 0, LogEntry("", 0), "map", "tiny", 0.0, "none", None)
    assert status_message(values).loops_closed == 3

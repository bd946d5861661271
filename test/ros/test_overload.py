"""A camera that is faster than the machine: which images are mapped, how far windows reach, and what the node says."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.context import Context
from rclpy.logging import get_logger
from ros_harness import FIRST_NS, PATIENCE_S, PERIOD_NS, Bench, image_message, running_node, wait_until
from slam3r_ros.msg import SlamStatus
from synthetic import textured_image

from slam3r_ros.engine.events import Update
from slam3r_ros.ros.input.camera_info_cache import CameraInfoCache
from slam3r_ros.ros.input.frame_builder import FrameBuilder, ReadyFrame
from slam3r_ros.ros.input.image_subscription import ReceivedImage
from slam3r_ros.ros.input.timestamp_filter import TimestampFilter
from slam3r_ros.ros.output.diagnostics import OK, WARN, InputStatistics, mapping_health
from slam3r_ros.ros.threads.back_pressure import BackPressure
from slam3r_ros.ros.threads.counters import Counters
from slam3r_ros.ros.threads.drop_oldest_queue import DropOldestQueue
from slam3r_ros.ros.threads.tracking_thread import TrackingThread
from slam3r_ros.ros.throttled_log import ThrottledLog
from slam3r_ros.types import EncodedAhead, Frame, ImageHeader, LocalPointmap, PreparedFrame, Window


class SlowEngine:
    """Takes frames when it is told to."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        assert bench.node._session is not None
        self.slam = bench.node._session._runner._slam
        self._push, self._leave = self.slam.push, threading.Semaphore(0)
        self.taken = 0
        monkeypatch.setattr(self.slam, "push", self.push)

    def push(self, *frames: Frame | PreparedFrame | EncodedAhead) -> list[Update]:
        self.taken += len(frames)
        assert self._leave.acquire(timeout=PATIENCE_S)
        return self._push(*frames)

    def go_on(self) -> None:
        self._leave.release()


def test_every_second_image_dropped_and_windows_as_long_as_before(
    context: Context, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over DDS: while the engine maps one image two come; it maps the newer one, and its windows span what they did."""
    with running_node(context, weights, image_queue=1, window__stride=4, window__radius=2) as bench:
        bench.wait_for_connection()
        poses = bench.camera.listen(PoseStamped, "/slam3r/pose")
        engine, windows = SlowEngine(bench, monkeypatch), []
        estimate = engine.slam._image_to_points.estimate

        def spy(given: list[Window]) -> list[LocalPointmap]:
            windows.extend(given)
            return estimate(given)

        monkeypatch.setattr(engine.slam._image_to_points, "estimate", spy)
        mapped = 40
        for number in range(2 * mapped - 1):
            stamp_ns = FIRST_NS + PERIOD_NS * number
            bench.camera.images.publish(image_message(textured_image(number), stamp_ns))
            wait_until(lambda sent=number + 1: bench.status.frames_received == sent, "the image")  # type: ignore[misc]
            if number % 2:
                continue
            dropped = number // 2
            wait_until(lambda count=dropped: bench.status.frames_dropped == count, "a drop")  # type: ignore[misc]
            if number:
                engine.go_on()
            wait_until(lambda count=dropped + 1: engine.taken == count, "the engine")  # type: ignore[misc]
        engine.go_on()
        bench.wait_for_handled(2 * mapped - 1)
        wait_until(lambda: len(poses) == mapped, "a pose of every image mapped")
        stamps = [pose.header.stamp.sec * 10**9 + pose.header.stamp.nanosec for pose in poses]
        assert stamps == [FIRST_NS + 2 * PERIOD_NS * number for number in range(mapped)]

        spans = [{s.source_index - w.reference.source_index for s in w.sources} for w in windows[-20:]]
        assert spans == [{-4, -8}] * 20
        periods = {(w.reference.stamp_ns - s.stamp_ns) / PERIOD_NS for w in windows[-20:] for s in w.sources}
        assert periods == {4, 8}
        status = bench.status
        assert (status.frames_processed, status.frames_dropped) == (mapped, mapped - 1)
        assert status.stride == 4
        assert status.effective_stride == pytest.approx(2.3, abs=0.3)  # on its way from 4 to 2
        received = bench.camera.listen(DiagnosticArray, "/diagnostics")
        wait_until(lambda: bool(received), "diagnostics")
        values = {pair.key: pair.value for pair in received[-1].status[1].values}
        assert values["stride in images"] == "4"
        assert values["stride in frames"] == f"{status.effective_stride:.2f}"


def health(drops: int, **status: float) -> tuple[bytes, str]:
    values = InputStatistics("/image", 0.0, 5.0, 0, drops, 0)
    judged = mapping_health(values, SlamStatus(state=SlamStatus.TRACKING, **status))  # type: ignore[arg-type]
    return judged.level, judged.message


def test_diagnostics_tell_the_stride_and_warn_when_too_few_images_are_mapped() -> None:
    level, text = health(40, frame_rate=20.0, frame_rate_received=60.0, stride=5, effective_stride=1.7)
    assert level == OK
    assert text == (
        "20.0 of 60.0 images a second are mapped, the newest ones; a window still spans 5 images a step, 1.7 frames"
    )
    level, text = health(50, frame_rate=10.0, frame_rate_received=60.0, stride=5, effective_stride=1.0)
    assert level == WARN
    assert "less than one in 5, so windows span more time than they should" in text
    assert health(20, frame_rate=10.0, frame_rate_received=30.0)[0] == OK  # the stride is not known yet


class NoEncoder:
    """Prepares frames without cropping or encoding them."""

    def prepare(self, frame: Frame) -> PreparedFrame:
        header = ImageHeader(frame.stamp_ns, frame.image.shape[:2], frame.camera, frame.frame_id, frame.number)
        return PreparedFrame(header, frame.image)

    def encode_ahead(self, frame: PreparedFrame) -> PreparedFrame:
        return frame


def make_decoding_thread(
    capacity: int, back_pressure: BackPressure | None = None
) -> tuple[TrackingThread, DropOldestQueue[ReceivedImage], DropOldestQueue[ReadyFrame], Counters]:
    log = ThrottledLog(get_logger("test"), lambda: 0)
    frames = FrameBuilder(CameraInfoCache(log, rectified=False), TimestampFilter(1.0), NoEncoder(), log)
    images: DropOldestQueue[ReceivedImage] = DropOldestQueue(capacity)
    ready: DropOldestQueue[ReadyFrame] = DropOldestQueue(capacity)
    counters = Counters()
    return (
        TrackingThread(images, frames, ready.put, ready.clear, counters, back_pressure or BackPressure()),
        images,
        ready,
        counters,
    )


def number_of(ready: ReadyFrame) -> int | None:
    assert isinstance(ready.frame, PreparedFrame) and ready.stamp_ns == ready.frame.header.stamp_ns
    return ready.frame.header.number


def arrival(number: int, stamp: int) -> ReceivedImage:
    return ReceivedImage(image_message(textured_image(0), FIRST_NS + PERIOD_NS * stamp), 0, number)


def test_images_left_out_are_counted_but_repeated_ones_are_not() -> None:
    decoding, images, ready, counters = make_decoding_thread(10)
    broken = arrival(3, 3)
    broken.message.encoding = "none such"
    for given in (arrival(0, 0), arrival(1, 1), arrival(2, 1), broken, arrival(5, 5), arrival(6, 4), arrival(7, 6)):
        images.put(given)
    decoding.step()
    assert [number_of(frame) for frame in ready.take(0.0)] == [0, 1, 4, 5]  # a repeated and a late one less
    assert counters.rejected == 3


def test_a_jump_of_time_is_seen_even_if_its_first_image_is_dropped() -> None:
    decoding, images, ready, counters = make_decoding_thread(2)
    for given in (arrival(0, 1000), arrival(1, 0), arrival(2, 1)):
        images.put(given)
        decoding.step()
    assert [(number_of(frame), frame.epoch) for frame in ready.take(0.0)] == [(1, 1), (2, 1)]
    assert counters.dropped == 1
    images.put(arrival(3, 2))
    decoding.step()
    images.put(arrival(4, 3))
    with decoding.holding():
        pass
    assert (images.take(0.0), ready.take(0.0)) == ([], [])
    images.put(arrival(5, 0))
    decoding.step()
    assert [(number_of(frame), frame.epoch) for frame in ready.take(0.0)] == [(5, 1)]


def test_images_that_a_newer_one_replaces_are_not_prepared() -> None:
    """While the engine is busy images wait as they came; what is prepared for it is the newest."""
    now_s = [0.0]
    back_pressure = BackPressure(lambda: now_s[0])
    back_pressure.begin_work()
    now_s[0] += 10.0
    back_pressure.end_work()
    decoding, images, ready, _ = make_decoding_thread(1, back_pressure)
    back_pressure.begin_work()  # for ten seconds more, by the clock of the test
    limit_s = threading.Timer(0.05, lambda: now_s.__setitem__(0, now_s[0] + 0.2))  # ends the waiting, not the work
    images.put(arrival(0, 0))
    limit_s.start()
    decoding.step()
    assert ready.take(0.0) == []
    assert images.put(arrival(1, 1)) == 1
    back_pressure.end_work()
    decoding.step()
    assert [number_of(frame) for frame in ready.take(0.0)] == [1]

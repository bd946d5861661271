"""Which stamps are used: no single stamp ends the mapping or starts a new map."""

from __future__ import annotations

import pytest
from rclpy.logging import get_logger
from ros_harness import FIRST_NS, PERIOD_NS, image_message
from synthetic import textured_image

from slam3r_ros.engine.slam_status import SlamStatus
from slam3r_ros.ros.input.camera_info_cache import CameraInfoCache
from slam3r_ros.ros.input.frame_builder import FrameBuilder
from slam3r_ros.ros.input.image_subscription import ReceivedImage
from slam3r_ros.ros.input.timestamp_filter import TUNING, TimestampCheck, TimestampDecision, TimestampFilter
from slam3r_ros.ros.output.map_scale import MapScale
from slam3r_ros.ros.pipeline.slam_runner import NodeCallbacks, SlamRunner
from slam3r_ros.ros.threads.counters import Counters
from slam3r_ros.ros.throttled_log import ThrottledLog
from slam3r_ros.types import Frame, ImageHeader, PreparedFrame

SECOND_NS = 10**9
HOUR_NS = 3600 * SECOND_NS
FIFTY_THREE_YEARS_NS = 53 * 365 * 24 * HOUR_NS
USE, DROP, HOLD = TimestampDecision.USE, TimestampDecision.DROP, TimestampDecision.HOLD


class Stream:
    """A camera of 30 images a second, whose images arrive 20 ms after their stamps."""

    def __init__(self, good: int = 5) -> None:
        self.filter = TimestampFilter(1.0)
        self.number = 0
        for _ in range(good):
            assert self.send().decision is USE

    def send(self, offset_ns: int = 0, stamp_ns: int | None = None) -> TimestampCheck:
        """Send the next image with a stamp that is off by so much, or with this stamp."""
        true_ns = FIRST_NS + PERIOD_NS * self.number
        self.number += 1
        return self.filter.check(true_ns + offset_ns if stamp_ns is None else stamp_ns, true_ns + 20_000_000)


@pytest.mark.parametrize("stamp_ns", [-5 * SECOND_NS, -1, 2**31 * SECOND_NS])
def test_a_stamp_that_is_no_time_is_dropped(stamp_ns: int) -> None:
    stream = Stream()
    check = stream.send(stamp_ns=stamp_ns)
    assert check.decision is DROP and "before 1970 or after 2038" in check.warning
    assert stream.send().decision is USE
    assert stream.filter.backward_jumps == 0


@pytest.mark.parametrize("offset_ns", [-2 * SECOND_NS, -HOUR_NS, 2 * SECOND_NS, HOUR_NS, FIFTY_THREE_YEARS_NS // 10])
def test_one_wrong_stamp_is_dropped_and_the_stream_goes_on(offset_ns: int) -> None:
    stream = Stream()
    assert stream.send(offset_ns).decision is HOLD
    check = stream.send()
    assert (check.decision, check.held, check.starts_new_map) == (USE, DROP, False)
    assert "the next image does not agree" in check.warning
    assert [stream.send().warning for _ in range(5)] == [""] * 5
    assert stream.filter.backward_jumps == 0


def test_wrong_stamps_that_do_not_agree_with_one_another_are_all_dropped() -> None:
    stream = Stream()
    for offset_ns in (-HOUR_NS, -2 * HOUR_NS, HOUR_NS, -3 * HOUR_NS, 3 * HOUR_NS, 9 * HOUR_NS):
        assert stream.send(offset_ns).decision is HOLD
    assert stream.send().decision is USE
    assert stream.filter.backward_jumps == 0


@pytest.mark.parametrize("offset_ns", [0, -5 * SECOND_NS, HOUR_NS])
def test_frozen_stamps_are_dropped_wherever_they_are(offset_ns: int) -> None:
    stream = Stream()
    stamp_ns = FIRST_NS + PERIOD_NS * (stream.number - 1) + offset_ns
    assert {stream.send(stamp_ns=stamp_ns).decision for _ in range(20)} <= {DROP, HOLD}
    assert stream.send().decision is USE
    assert stream.filter.backward_jumps == 0


def test_a_stamp_a_little_ahead_or_late_starts_no_new_map() -> None:
    stream = Stream()
    assert stream.send(900_000_000).decision is USE
    late = [stream.send().decision for _ in range(60)]
    assert late[:20] == [DROP] * 20 and late[-20:] == [USE] * 20
    assert stream.filter.backward_jumps == 0


def test_a_jump_back_that_the_next_image_agrees_with_starts_a_new_map() -> None:
    stream = Stream()
    assert stream.send(-5 * SECOND_NS).decision is HOLD
    check = stream.send(-5 * SECOND_NS)
    assert (check.decision, check.held, check.starts_new_map) == (USE, USE, True)
    assert "time jumped back by 4.967 s" in check.warning
    assert [stream.send(-5 * SECOND_NS).decision for _ in range(5)] == [USE] * 5
    assert stream.filter.backward_jumps == 1


def test_a_jump_back_that_the_clock_agrees_with_starts_a_new_map_at_once() -> None:
    times = TimestampFilter(1.0)
    times.check(FIRST_NS, FIRST_NS)
    check = times.check(FIRST_NS - 5 * SECOND_NS, FIRST_NS - 5 * SECOND_NS)
    assert (check.decision, check.starts_new_map, times.backward_jumps) == (USE, True, 1)


@pytest.mark.parametrize("gap_ns", [HOUR_NS, FIFTY_THREE_YEARS_NS // 10])
def test_a_gap_in_a_recording_keeps_the_map(gap_ns: int) -> None:
    stream = Stream()
    assert stream.send(gap_ns).decision is HOLD
    check = stream.send(gap_ns)
    assert (check.decision, check.held, check.starts_new_map) == (USE, USE, False)
    assert stream.send(gap_ns).decision is USE


def test_a_pause_of_the_camera_that_the_clock_saw_is_no_jump() -> None:
    stream = Stream()
    stream.number += 200_000
    assert stream.send().decision is USE


def test_a_fast_replay_of_which_few_images_are_mapped_goes_on() -> None:
    times = TimestampFilter(1.0)
    steps = [0, 27, 60, 80, 120, 130, 180, 200]  # tenths of a second between stamps of images that come together
    checks = [times.check(FIRST_NS + step * SECOND_NS // 10, 0) for step in steps]
    assert sum((check.decision is USE) + (check.held is USE) for check in checks) == len(steps)


def test_stamps_that_grow_without_bound_are_used_at_last() -> None:
    times = TimestampFilter(1.0)
    checks = [times.check(FIRST_NS + number * HOUR_NS, 0) for number in range(20)]
    first_used = next(number for number, check in enumerate(checks) if number and check.decision is USE)
    assert first_used <= TUNING.patience + 2
    assert all(check.decision is USE for check in checks[first_used:])


def test_zero_stamps_become_the_times_of_arrival() -> None:
    times = TimestampFilter(1.0)
    used = [times.check(0, FIRST_NS + number * PERIOD_NS) for number in range(3)]
    assert [check.stamp_ns for check in used] == [FIRST_NS + number * PERIOD_NS for number in range(3)]
    assert all(check.decision is USE and "stamp zero" in check.warning for check in used)


def test_a_zero_stamp_amid_those_of_an_old_recording_is_dropped() -> None:
    times = TimestampFilter(1.0)
    decisions = [times.check(stamp, FIRST_NS + HOUR_NS).decision for stamp in (FIRST_NS, 0, FIRST_NS + PERIOD_NS)]
    assert decisions == [USE, HOLD, USE]
    assert times.backward_jumps == 0


@pytest.mark.parametrize(("back_s", "jumped"), [(0.5, False), (1.5, True)])
def test_a_clock_that_jumps_back_starts_a_new_map_beyond_time_jump_only(back_s: float, jumped: bool) -> None:
    times = TimestampFilter(1.0)
    times.check(FIRST_NS, FIRST_NS)
    assert times.clock_jumped_back(FIRST_NS - int(back_s * SECOND_NS)) is jumped


class NoEncoder:
    """Prepares frames without cropping or encoding them."""

    def prepare(self, frame: Frame) -> PreparedFrame:
        header = ImageHeader(frame.stamp_ns, frame.image.shape[:2], frame.camera, frame.frame_id, frame.number)
        return PreparedFrame(header, frame.image)

    def encode_ahead(self, frame: PreparedFrame) -> PreparedFrame:
        return frame


class Recorder:
    """Engine and outputs in one, which record the numbers of the images in each map."""

    def __init__(self) -> None:
        self.maps: list[list[int | None]] = [[]]
        self.scale, self.scale_estimation, self.is_localized = MapScale(0.0), None, True

    def push(self, *frames: PreparedFrame) -> None:
        self.maps[-1] += [frame.header.number for frame in frames]

    def reset(self, reason: object, *_: object) -> None:
        if isinstance(reason, str):  # the engine's reset, not that of the outputs
            self.maps.append([])

    def status(self) -> SlamStatus:
        return SlamStatus()

    def publish_due(self, _: object) -> None:
        pass


def mapped_of(offsets_ns: list[int], stamps_ns: dict[int, int] | None = None) -> tuple[list[list[int | None]], int]:
    """Send images whose stamps are off by so much; returns the numbers in each map, and how many were rejected."""
    log = ThrottledLog(get_logger("test"), lambda: 0)
    builder = FrameBuilder(CameraInfoCache(log, rectified=False), TimestampFilter(1.0), NoEncoder(), log)
    recorder, rejected = Recorder(), 0
    runner = SlamRunner(recorder, recorder, log, NodeCallbacks(lambda: 0, lambda: None), Counters())  # type: ignore[arg-type]
    for number, offset_ns in enumerate(offsets_ns):
        true_ns = FIRST_NS + PERIOD_NS * number
        message = image_message(textured_image(0), true_ns + offset_ns)
        if stamps_ns and number in stamps_ns:
            message.header.stamp.sec = stamps_ns[number]
        built = builder.build(ReceivedImage(message, true_ns, number))
        rejected += built.count(None)
        runner.process([frame for frame in built if frame is not None])
    return recorder.maps, rejected


@pytest.mark.parametrize("wrong_ns", [HOUR_NS, -2 * SECOND_NS])
def test_the_runner_keeps_its_map_over_one_wrong_stamp(wrong_ns: int) -> None:
    assert mapped_of([0, 0, 0, wrong_ns, 0, 0]) == ([[0, 1, 2, 4, 5]], 1)


def test_the_runner_keeps_its_map_over_negative_seconds() -> None:
    assert mapped_of([0] * 6, {3: -5}) == ([[0, 1, 2, 4, 5]], 1)


def test_the_runner_maps_every_image_of_a_bag_that_begins_again() -> None:
    assert mapped_of([0, 0, 0, *[-5 * SECOND_NS] * 3]) == ([[0, 1, 2], [3, 4, 5]], 0)

"""Names of the camera's frame as drivers give them."""

from __future__ import annotations

import pytest
from rclpy.logging import get_logger

from slam3r_ros.ros.input.frame_name import FrameName
from slam3r_ros.ros.throttled_log import ThrottledLog


@pytest.fixture
def log() -> ThrottledLog:
    return ThrottledLog(get_logger("test"), lambda: 0)


@pytest.mark.parametrize(
    ("image", "camera_info", "name", "warning"),
    [
        ("cam", "other", "cam", ""),
        ("", "cam", "cam", ""),
        ("", "", "camera", "using 'camera'; let the driver name its frame"),
        ("/cam", "", "cam", "'/cam' begins with a slash, which tf2 does not take: using 'cam'"),
        ("", "//robot/cam", "robot/cam", "using 'robot/cam'"),
        ("/", "", "camera", "using 'camera'"),
    ],
)
def test_name(image: str, camera_info: str, name: str, warning: str, log: ThrottledLog) -> None:
    frame = FrameName(log)
    assert frame.of(image, camera_info) == name
    assert warning in log.newest.text and bool(warning) == bool(log.newest.text)


def test_a_warning_comes_once_and_hides_no_later_one(log: ThrottledLog) -> None:
    frame = FrameName(log)
    frame.of("/cam", "")
    log.warn("other", "something else")
    assert [frame.of("/cam", "") for _ in range(3)] == ["cam"] * 3
    assert log.newest.text == "something else"


def test_the_same_name_with_and_without_a_slash_is_no_change(log: ThrottledLog) -> None:
    frame = FrameName(log)
    assert [frame.of("cam", ""), frame.of("/cam", ""), frame.of("cam", "")] == ["cam"] * 3
    assert "begins with a slash" in log.newest.text


def test_a_name_that_changes_is_told(log: ThrottledLog) -> None:
    frame = FrameName(log)
    assert [frame.of("left", ""), frame.of("right", "")] == ["left", "right"]
    assert "frame_id changed from 'left' to 'right'" in log.newest.text

"""Trajectories to TUM files and back, stamps to the nanosecond."""

from __future__ import annotations

import numpy as np
import pytest

from slam3r_ros.geometry.se3 import rigid, rotation_from_quat_xyzw
from slam3r_ros.io.files import FileFormatError, OutputError
from slam3r_ros.io.stamps import stamp_ns_from_text, text_from_stamp_ns
from slam3r_ros.io.tum import read_trajectory, write_trajectory
from slam3r_ros.types import StampedPose

STAMPS = [0, 1, 999_999_999, 1_341_841_278_842_700_001, -1_500_000_000]


def test_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    poses = [
        StampedPose(stamp, rigid(rotation_from_quat_xyzw(rng.normal(size=4)), rng.normal(size=3) * 10))
        for stamp in STAMPS
    ]
    write_trajectory(tmp_path / "t.txt", poses)
    back = read_trajectory(tmp_path / "t.txt")
    assert [pose.stamp_ns for pose in back] == STAMPS
    for pose, expected in zip(back, poses, strict=True):
        assert np.allclose(pose.T_world_camera, expected.T_world_camera, atol=1e-7)


def test_the_line_is_as_the_format_says(tmp_path):
    quarter_turn = rigid(rotation_from_quat_xyzw([0, 0, 1, 1]), [1, -2.5, 3])
    write_trajectory(tmp_path / "t.txt", [StampedPose(1_500_000_000, quarter_turn)])
    comment, line = (tmp_path / "t.txt").read_text().splitlines()
    assert comment.startswith("#")
    assert line == "1.500000000 1 -2.5 3 0 0 0.707106781 0.707106781"


def test_no_poses(tmp_path):
    write_trajectory(tmp_path / "t.txt", [])
    assert read_trajectory(tmp_path / "t.txt") == []


def test_comments_empty_lines_and_a_quaternion_of_another_length(tmp_path):
    (tmp_path / "t.txt").write_text("# x\n\n  1e-9 1 2 3 0 0 0 2  \n")
    (pose,) = read_trajectory(tmp_path / "t.txt")
    assert pose.stamp_ns == 1 and np.allclose(pose.T_world_camera, rigid(np.eye(3), [1, 2, 3]))


@pytest.mark.parametrize(
    "line", ["1 2 3", "a 0 0 0 0 0 0 1", "0 0 0 0 0 0 0 0", "nan 0 0 0 0 0 0 1", "0 x 0 0 0 0 0 1"]
)
def test_a_wrong_line_is_named(tmp_path, line):
    (tmp_path / "bad.txt").write_text(f"0 0 0 0 0 0 0 1\n{line}\n")
    with pytest.raises(FileFormatError, match=r"bad.txt', line 2: "):
        read_trajectory(tmp_path / "bad.txt")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OutputError, match="nowhere"):
        write_trajectory(tmp_path / "nowhere" / "t.txt", [])


@pytest.mark.parametrize("stamp_ns", STAMPS)
def test_stamps_lose_nothing(stamp_ns):
    assert stamp_ns_from_text(text_from_stamp_ns(stamp_ns)) == stamp_ns


def test_stamps_as_text():
    assert text_from_stamp_ns(-1_500_000_000) == "-1.500000000"
    assert stamp_ns_from_text("1341841278.842700") == 1_341_841_278_842_700_000
    for text in ("", "inf", "-nan", "1e15", "12:30"):
        with pytest.raises(ValueError, match="time in seconds"):
            stamp_ns_from_text(text)

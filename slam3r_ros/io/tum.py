"""Trajectories in the TUM format: ``timestamp tx ty tz qx qy qz qw``, a line a pose."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from slam3r_ros.geometry.se3 import quat_xyzw_from_rotation, rigid, rotation_from_quat_xyzw
from slam3r_ros.io.files import FileFormatError, replacing
from slam3r_ros.io.stamps import stamp_ns_from_text, text_from_stamp_ns
from slam3r_ros.types import StampedPose


def write_trajectory(path: str | Path, trajectory: Iterable[StampedPose]) -> None:
    """Write poses as `dump_trajectory` does into a file that replaces an existing one only when it is complete.

    Raises OutputError when it cannot be written.
    """
    with replacing(path) as file:
        dump_trajectory(file, trajectory)


def dump_trajectory(file: BinaryIO, trajectory: Iterable[StampedPose]) -> None:
    """Write poses T_world_camera: seconds with all nine digits, position in the poses' lengths, unit quaternion."""
    file.write(b"# timestamp tx ty tz qx qy qz qw\n")
    for pose in trajectory:
        numbers = [*pose.T_world_camera[:3, 3], *quat_xyzw_from_rotation(pose.T_world_camera[:3, :3])]
        values = " ".join(f"{number:.9g}" for number in numbers)
        file.write(f"{text_from_stamp_ns(pose.stamp_ns)} {values}\n".encode("ascii"))


def read_trajectory(path: str | Path) -> list[StampedPose]:
    """Read poses; empty lines and those that begin with # are skipped.

    Raises FileNotFoundError, and FileFormatError naming the line that is not a pose.
    """
    poses = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            stamp_ns, values = stamp_ns_from_text(words[0]), [float(word) for word in words[1:]]
            if len(values) != 7:
                raise ValueError(f"expected 8 numbers, got {len(words)}")
            poses.append(StampedPose(stamp_ns, rigid(rotation_from_quat_xyzw(values[3:]), values[:3])))
        except ValueError as error:
            raise FileFormatError(f"cannot read '{path}', line {number}: {error}") from error
    return poses

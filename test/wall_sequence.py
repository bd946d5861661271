"""Sequences made for tests: a camera that moves in front of a wall, written in each layout."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from synthetic import textured_image

from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import rigid
from slam3r_ros.io.stamps import text_from_stamp_ns
from slam3r_ros.io.tum import write_trajectory
from slam3r_ros.types import StampedPose

CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
WALL_M = 2.0
"""Distance of the wall, the plane z = WALL_M of the world, which the camera faces."""
STAMP_STEP_NS = 100_000_000


def position(number: int) -> NDArray[np.float64]:
    """Where the camera of an image is, metres: on a curve that is no line."""
    return np.array([0.05 * number, 0.1 * np.sin(number / 3), 0.02 * number])


def pose(number: int) -> NDArray[np.float64]:
    return rigid(np.eye(3), position(number))


def depth_m(number: int) -> float:
    """Of every pixel of an image."""
    return WALL_M - float(position(number)[2])


def stamp_ns(number: int) -> int:
    return 1_000_000_000 + number * STAMP_STEP_NS


def write_image(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), textured_image(number)[:, :, ::-1])


def write_depth(path: Path, number: int, units_per_metre: float = 1000.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((48, 64), round(depth_m(number) * units_per_metre), np.uint16))


def write_poses(path: Path, numbers: list[int], offset_ns: int = 0) -> None:
    write_trajectory(path, [StampedPose(stamp_ns(number) + offset_ns, pose(number)) for number in numbers])


def write_folder(folder: Path, count: int) -> Path:
    """As ``slam3r_lab render``."""
    for number in range(count):
        write_image(folder / "rgb" / f"{number:06d}.png", number)
        write_depth(folder / "depth" / f"{number:06d}.png", number)
    write_poses(folder / "poses.txt", list(range(count)))
    write_intrinsics(folder)
    return folder


def write_intrinsics(folder: Path) -> None:
    c = CAMERA
    (folder / "intrinsics.txt").write_text(f"{c.fx} {c.fy} {c.cx} {c.cy} {c.width} {c.height}\n")


def write_tum(folder: Path, count: int) -> Path:
    """As TUM RGB-D: depth 5 ms later than colour, poses at other times too."""
    colour, depth = ["# color images"], ["# depth maps"]
    for number in range(count):
        stamp, later = text_from_stamp_ns(stamp_ns(number)), text_from_stamp_ns(stamp_ns(number) + 5_000_000)
        write_image(folder / "rgb" / f"{stamp}.png", number)
        write_depth(folder / "depth" / f"{later}.png", number, 5000.0)
        colour.append(f"{stamp} rgb/{stamp}.png")
        depth.append(f"{later} depth/{later}.png")
    (folder / "rgb.txt").write_text("\n".join(colour) + "\n")
    (folder / "depth.txt").write_text("\n".join(depth) + "\n")
    write_poses(folder / "groundtruth.txt", list(range(count)), offset_ns=-3_000_000)
    write_intrinsics(folder)
    return folder


def write_seven_scenes(folder: Path, count: int) -> Path:
    """One seq-NN of 7-Scenes."""
    for number in range(count):
        name = folder / f"frame-{number:06d}"
        write_image(name.with_suffix(".color.png"), number)
        write_depth(name.with_suffix(".depth.png"), number)
        np.savetxt(name.with_suffix(".pose.txt"), pose(number))
    write_intrinsics(folder)
    return folder


def write_replica(folder: Path, count: int) -> Path:
    """One scene of Replica, its camera beside it."""
    for number in range(count):
        write_image(folder / "results" / f"frame{number:06d}.jpg", number)
        write_depth(folder / "results" / f"depth{number:06d}.png", number, 6553.5)
    np.savetxt(folder / "traj.txt", np.array([pose(number).reshape(-1) for number in range(count)]))
    c = CAMERA
    camera = {"w": c.width, "h": c.height, "fx": c.fx, "fy": c.fy, "cx": c.cx, "cy": c.cy, "scale": 6553.5}
    (folder.parent / "cam_params.json").write_text(json.dumps({"camera": camera}))
    return folder

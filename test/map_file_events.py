"""Events of the engine as tests of map files give them: keyframes with pose, points and view, and a closed loop."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import numpy as np
from synthetic import textured_image

from slam3r_ros.engine.events import Update
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import rigid, rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.io.files import OutputError
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.map_file.facts import MapFacts
from slam3r_ros.map_file.writer import MapFileWriter
from slam3r_ros.types import HostPointmaps, ImageHeader, MapPoints, MapUpdate, PoseEstimate, PoseUpdate, State

STRIDE = 3
"""Frames from one keyframe to the next."""
CAMERA = Camera(64, 48, 60.0, 61.0, 31.5, 23.5)
_EMPTY = np.empty(0, np.float32)
_NO_POINTMAPS = HostPointmaps(_EMPTY, _EMPTY, _EMPTY, _EMPTY, np.empty(0, np.bool_))


def header_of(frame: int) -> ImageHeader:
    """The header of a frame's image."""
    return ImageHeader(1_000_000_000 + frame * 33_333_333, (480, 640), CAMERA, "camera", frame)


def pose_of(frame: int) -> PoseEstimate:
    """The pose of a frame, another one for each."""
    T = rigid(rotation_from_vector(np.array([0.0, 0.02 * frame, 0.0])), np.array([0.1 * frame, 0.0, 0.01 * frame]))
    return PoseEstimate(T, 60.0, 1.0, 0.1, 1.0, 0.0)


def view_of(number: int, size: tuple[int, int] = (48, 64)) -> KeyframeView:
    """The view of a keyframe: a slanted plane, of which a corner is unknown."""
    height, width = size
    depth = (2 + np.add.outer(np.arange(height) / height, np.arange(width) / width)).astype(np.float32)
    depth[: height // 6, : width // 8] = np.nan
    confidence = (1 + 5 * np.abs(np.sin(np.arange(height * width) / 97))).astype(np.float32).reshape(size)
    frame = STRIDE * number
    image = textured_image(number, height, width)
    camera = CAMERA.scaled(width, height)
    return KeyframeView(
        number, frame, header_of(frame), pose_of(frame).T_world_camera, camera, image, depth, confidence
    )


def events_of(number: int, size: tuple[int, int] = (48, 64)) -> list[Update]:
    """The events of a keyframe and of the frames behind it, in the engine's order."""
    view = view_of(number, size)
    points = view.points(4.0)
    update = MapUpdate(
        index=view.index,
        header=view.header,
        image=view.image,
        state=State.TRACKING,
        pose=pose_of(view.index),
        pointmaps=_NO_POINTMAPS,
        added=MapPoints(points.points_world[::7], points.colours[::7], points.confidence[::7]),
        new_keyframes=(),
        registration=None,
    )
    between = range(view.index + 1, view.index + STRIDE)
    poses = [PoseUpdate(frame, header_of(frame), pose_of(frame), False) for frame in between]
    return [PoseUpdate(view.index, view.header, pose_of(view.index), True), update, view, *poses]


def correction_at(keyframes: int) -> MapCorrection:
    """A closed loop that leaves the first keyframe and moves, turns and enlarges what comes after the second."""
    changes = Sim3([1.0, 1.5], np.stack([np.eye(3), rotation_from_vector(np.array([0.0, 0.3, 0.0]))]), np.eye(3)[:2])
    frames = np.array([0, STRIDE])
    return MapCorrection(frames, changes, np.array([(0, STRIDE * (keyframes - 1))], np.int64))


def say(text: object) -> None:
    """Write a line at once, also where Python does not buffer: a process that is killed must not leave half of one."""
    os.write(sys.stdout.fileno(), f"{text}\n".encode())


def write_keyframes(path: Path) -> None:
    """Write keyframes, with a closed loop after every tenth, until the process is killed or the disk refuses. Every
    keyframe that is committed is a line of the output."""
    writer = MapFileWriter(path, MapFacts("test"), say)
    for number in range(sys.maxsize):
        for event in events_of(number):
            writer.write(event)
        if number % 10 == 9:
            writer.write(correction_at(number + 1))
        try:
            writer.checkpoint().result()
        except OutputError as error:
            say(error)
            break
        say(number)


def main() -> None:
    """For each line of the input, a path and the largest size of a file in bytes, start a process that writes keyframes
    there, print its number, and wait for its end, of which the status is printed after "ended"."""
    for line in sys.stdin:
        path, limit = line.split()
        process = os.fork()
        if process == 0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
            write_keyframes(Path(path))
            os._exit(0)
        say(f"process {process}")
        say(f"ended {os.waitpid(process, 0)[1]}")


if __name__ == "__main__":
    main()

"""COLMAP's text model: undistorted images, cameras, poses, points and where each image sees them.

The folder is what COLMAP, pycolmap, Nerfstudio and the programs of Gaussian splatting read: ``images/`` and
``sparse/0/`` with ``cameras.txt``, ``images.txt`` and ``points3D.txt``. COLMAP's conventions: poses take world to
camera, quaternions begin with w, and the centre of the upper left pixel is (0.5, 0.5).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.export.folders import replacing_folder
from slam3r_ros.export.observations import Observations, observations
from slam3r_ros.export.scene import ExportScene
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import invert_rigid, quat_xyzw_from_rotation
from slam3r_ros.io.files import OutputError
from slam3r_ros.io.map_axes import T_map_world
from slam3r_ros.types import MapPoints

_PIXEL_CENTRE = 0.5
"""Coordinate of the centre of the first pixel in COLMAP; here it is 0."""
_CONTENT = {"images", "sparse"}
"""The folders of a model; what holds others is not replaced."""


def write_colmap(folder: Path, scene: ExportScene) -> int:
    """Write the model; returns the number of points in it: those that at least one keyframe sees.

    Raises OutputError when nothing is left or something cannot be written.
    """
    points_world = (scene.points.points_world / np.float32(scene.unit)) @ T_map_world[:3, :3].astype(np.float32)
    with replacing_folder(folder, _is_model) as new:
        sparse, images = new / "sparse" / "0", new / "images"
        sparse.mkdir(parents=True)
        images.mkdir()
        cameras: dict[Camera, int] = {}
        tracks = Tracks()
        with open(sparse / "images.txt", "w", encoding="ascii") as file:
            file.write("# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME; then its points: X Y POINT3D_ID ...\n")
            for image_id, seen in enumerate(observations(points_world, scene.keyframes), start=1):
                name = f"{seen.view.id:06d}.png"
                _write_image(images / name, seen.view.image)
                camera_id = cameras.setdefault(seen.view.camera.without_distortion(), len(cameras) + 1)
                file.write(_image_lines(image_id, camera_id, name, seen, scene))
                tracks.add(image_id, seen.points)
        (sparse / "cameras.txt").write_text(_cameras_text(cameras), encoding="ascii")
        if not len(tracks):
            raise OutputError(f"nothing to write to '{folder}': no point is seen by a keyframe")
        with open(sparse / "points3D.txt", "w", encoding="ascii") as file:
            return _write_points(file, scene.points, tracks)


class Tracks:
    """Which images see which points, and at which place of an image's list of points: some ten million observations
    fit into memory."""

    def __init__(self) -> None:
        self._points: list[NDArray[np.int32]] = []
        self._images: list[NDArray[np.int32]] = []
        self._places: list[NDArray[np.int32]] = []

    def add(self, image_id: int, points: NDArray[np.intp]) -> None:
        """An image sees points (K,) in this order."""
        self._points.append(points.astype(np.int32))
        self._images.append(np.full(len(points), image_id, np.int32))
        self._places.append(np.arange(len(points), dtype=np.int32))

    def __len__(self) -> int:
        """Number of observations."""
        return sum(map(len, self._points))

    def by_point(self) -> Iterator[tuple[int, str]]:
        """Yield the index of every point that is seen, ascending, and its track as COLMAP writes it."""
        points = np.concatenate(self._points)
        order = np.argsort(points, kind="stable")
        pairs = np.stack([np.concatenate(self._images), np.concatenate(self._places)], axis=1)[order]
        seen, begins = np.unique(points[order], return_index=True)
        for point, begin, end in zip(seen.tolist(), begins.tolist(), [*begins[1:].tolist(), len(pairs)], strict=True):
            yield point, " ".join(map(str, pairs[begin:end].ravel().tolist()))


def _is_model(folder: Path) -> bool:
    """Whether a folder holds nothing but a model."""
    return {path.name for path in folder.iterdir()} <= _CONTENT


def _write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write RGB as a PNG, which keeps the pixels as they are."""
    encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    path.write_bytes(encoded.tobytes())


def _cameras_text(cameras: dict[Camera, int]) -> str:
    lines = ["# CAMERA_ID MODEL WIDTH HEIGHT FX FY CX CY"]
    for camera, camera_id in cameras.items():
        numbers = [camera.fx, camera.fy, camera.cx + _PIXEL_CENTRE, camera.cy + _PIXEL_CENTRE]
        intrinsics = " ".join(f"{number:.9g}" for number in numbers)
        lines.append(f"{camera_id} PINHOLE {camera.width} {camera.height} {intrinsics}")
    return "\n".join(lines) + "\n"


def _image_lines(image_id: int, camera_id: int, name: str, seen: Observations, scene: ExportScene) -> str:
    """The two lines of an image. COLMAP's ids of points begin with 1."""
    T_camera_map = invert_rigid(scene.pose(seen.view))
    x, y, z, w = quat_xyzw_from_rotation(T_camera_map[:3, :3])
    pose = " ".join(f"{number:.12g}" for number in (w, x, y, z, *T_camera_map[:3, 3]))
    pixels = (seen.pixels + _PIXEL_CENTRE).tolist()
    points = " ".join(
        f"{u:.3f} {v:.3f} {point + 1}" for (u, v), point in zip(pixels, seen.points.tolist(), strict=True)
    )
    return f"{image_id} {pose} {camera_id} {name}\n{points}\n"


def _write_points(file: TextIO, points: MapPoints, tracks: Tracks) -> int:
    """Write the points that are seen; their reprojection error is 0, since their pixels are their projections. Returns
    their number."""
    file.write("# POINT3D_ID X Y Z R G B ERROR; then where it is seen: IMAGE_ID POINT2D_IDX ...\n")
    count = 0
    for point, track in tracks.by_point():
        x, y, z = points.points_world[point].tolist()
        red, green, blue = points.colours[point].tolist()
        file.write(f"{point + 1} {x:.9g} {y:.9g} {z:.9g} {red} {green} {blue} 0 {track}\n")
        count += 1
    return count

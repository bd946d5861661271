"""Everything as arrays in one .npz file, which ``numpy.load`` reads an array at a time and without pickle.

A keyframe's arrays have its id, six digits, in their names: images may differ in size. `ARRAYS` describes all of them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.export.scene import ExportScene

ARRAYS = {
    "points": "(N, 3) float32 positions of the points, map axes",
    "colours": "(N, 3) uint8 RGB of the points",
    "confidence": "(N,) float32 confidences of the points",
    "trajectory_stamps_ns": "(M,) int64 nanoseconds of every tracked image",
    "trajectory_poses": "(M, 4, 4) float64 T_map_camera of every tracked image",
    "keyframe_ids": "(K,) int64 ids of the keyframes",
    "keyframe_stamps_ns": "(K,) int64 nanoseconds of the keyframes' images",
    "keyframe_poses": "(K, 4, 4) float64 T_map_camera of the keyframes",
    "keyframe_intrinsics": "(K, 6) float64 width, height, fx, fy, cx, cy of the keyframes' images, without distortion; "
    "pixel centres at integers",
    "loops": "(L, 2) int64 ids of the two keyframes that each closed loop connects",
    "metres_per_unit": "() float64 metres of a scene unit, with which all lengths here have been multiplied; 0 where "
    "it is not known and lengths are scene units",
    "image_NNNNNN": "(height, width, 3) uint8 RGB, undistorted, of keyframe NNNNNN",
    "depth_NNNNNN": "(h, w) float32 distances along the optical axis, NaN where unknown; the grid covers the "
    "whole image",
    "depth_confidence_NNNNNN": "(h, w) float32 confidences of these distances",
}
"""The arrays by name: shape, type, unit and frame. Cameras have x right, y down, z forward; the map x forward, y left,
z up."""


def dump_npz(file: BinaryIO, scene: ExportScene) -> None:
    """Write all arrays, one at a time, so that the memory for one keyframe is enough."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in _arrays(scene):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(array, order="C"), allow_pickle=False)


def _arrays(scene: ExportScene) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the arrays with their names."""
    yield "points", scene.points.points_world
    yield "colours", scene.points.colours
    yield "confidence", scene.points.confidence
    yield "trajectory_stamps_ns", np.array([pose.stamp_ns for pose in scene.trajectory], np.int64)
    yield "trajectory_poses", np.array([pose.T_world_camera for pose in scene.trajectory]).reshape(-1, 4, 4)
    ids, stamps, poses, intrinsics = [], [], [], []
    for view in scene.keyframes:
        camera, name = view.camera, f"{view.id:06d}"
        ids.append(view.id)
        stamps.append(view.header.stamp_ns)
        poses.append(scene.pose(view))
        intrinsics.append([camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy])
        yield f"image_{name}", view.image
        yield f"depth_{name}", view.depth * np.float32(scene.unit)
        yield f"depth_confidence_{name}", view.confidence
    yield "keyframe_ids", np.array(ids, np.int64)
    yield "keyframe_stamps_ns", np.array(stamps, np.int64)
    yield "keyframe_poses", np.array(poses, np.float64).reshape(-1, 4, 4)
    yield "keyframe_intrinsics", np.array(intrinsics, np.float64).reshape(-1, 6)
    yield "loops", np.array(scene.loops, np.int64).reshape(-1, 2)
    yield "metres_per_unit", np.array(scene.unit if scene.is_metric else 0.0)

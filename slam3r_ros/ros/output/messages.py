"""From the engine's values to messages, in the map frame's axes."""

from __future__ import annotations

import math

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, Transform, TransformStamped, Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, PointCloud2, PointField
from sensor_msgs_py.point_cloud2 import create_cloud
from std_msgs.msg import Header

from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import quat_xyzw_from_rotation
from slam3r_ros.io.camera_info import Rectification
from slam3r_ros.io.map_axes import put_in_map
from slam3r_ros.msg import Keyframe
from slam3r_ros.types import KeyframeRecord, MapPoints

_NANOSECONDS = 10**9
"""Nanoseconds in a second."""
_POINT = np.dtype([(name, "<f4") for name in ("x", "y", "z", "rgb", "confidence")])
"""Layout of a point in a cloud: five 32-bit floats."""
CLOUD_FIELDS = [
    PointField(name=name, offset=4 * position, datatype=PointField.FLOAT32, count=1)
    for position, name in enumerate(_POINT.names or ())
]
"""Fields of a cloud: x y z in metres or scene units, rgb packed into the bits of a float as RViz and PCL expect it, and
L2W's confidence."""


def time_message(stamp_ns: int) -> Time:
    """Return integer nanoseconds as a message."""
    seconds, nanoseconds = divmod(stamp_ns, _NANOSECONDS)
    return Time(sec=seconds, nanosec=nanoseconds)


def header(stamp_ns: int, frame_id: str) -> Header:
    """Return a header with this stamp and frame."""
    return Header(stamp=time_message(stamp_ns), frame_id=frame_id)


def pose_message(T: NDArray[np.float64]) -> Pose:
    """Return a (4, 4) transform as a pose."""
    x, y, z = T[:3, 3].tolist()
    qx, qy, qz, qw = quat_xyzw_from_rotation(T[:3, :3]).tolist()
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def stamped_pose(stamp_ns: int, frame_id: str, T: NDArray[np.float64]) -> PoseStamped:
    """Return a (4, 4) transform as a pose with stamp and frame."""
    return PoseStamped(header=header(stamp_ns, frame_id), pose=pose_message(T))


def transform_message(stamp_ns: int, parent: str, child: str, T_parent_child: NDArray[np.float64]) -> TransformStamped:
    """Return TF's message of a (4, 4) transform that takes points of ``child`` to ``parent``."""
    pose = pose_message(T_parent_child)
    translation = Vector3(x=pose.position.x, y=pose.position.y, z=pose.position.z)
    return TransformStamped(
        header=header(stamp_ns, parent),
        child_frame_id=child,
        transform=Transform(translation=translation, rotation=pose.orientation),
    )


def camera_info_message(head: Header, camera: Camera, rectification: Rectification | None = None) -> CameraInfo:
    """Return the CameraInfo of a camera; without ``rectification`` it is that of an image that is only undistorted."""
    k, p, r = camera.matrix, camera.matrix, np.eye(3).ravel().tolist()
    if rectification is not None:
        p, r = rectification.camera.matrix, list(rectification.rotation)
    return CameraInfo(
        header=head,
        width=camera.width,
        height=camera.height,
        distortion_model="plumb_bob" if camera.distortion_model == "none" else camera.distortion_model,
        d=list(camera.distortion) or [0.0] * 5,
        k=k.ravel().tolist(),
        r=r,
        p=np.hstack([p, np.zeros((3, 1))]).ravel().tolist(),
    )


def thinned(points: MapPoints, most: int) -> MapPoints:
    """At most so many of the points, evenly over their order, and so about evenly over the map."""
    if len(points) <= most:
        return points
    chosen = np.linspace(0, len(points) - 1, most).astype(np.intp)
    return MapPoints(points.points_world[chosen], points.colours[chosen], points.confidence[chosen])


def cloud_message(stamp_ns: int, frame_id: str, points: MapPoints, unit: float = 1.0) -> PointCloud2:
    """Return points of the engine's world as a cloud in the map's axes; ``unit`` is the length of a scene unit."""
    if not len(points):  # sensor_msgs_py fails on an empty array
        return PointCloud2(header=header(stamp_ns, frame_id), height=1, fields=CLOUD_FIELDS, point_step=_POINT.itemsize)
    rows = np.empty((len(points), 5), dtype="<f4")
    put_in_map(points.points_world, rows[:, :3], unit)
    blue_green_red = rows.view(np.uint8)[:, 12:16]
    for byte, channel in enumerate((2, 1, 0)):
        blue_green_red[:, byte] = points.colours[:, channel]
    blue_green_red[:, 3] = 0
    rows[:, 4] = points.confidence
    cloud = create_cloud(header(stamp_ns, frame_id), CLOUD_FIELDS, rows.view(_POINT)[:, 0])
    cloud.is_dense = True  # every point is finite; sensor_msgs_py does not say so
    return cloud


def keyframe_message(record: KeyframeRecord, pose: Pose, map_frame: str, *, uses_camera: bool) -> Keyframe:
    """Return the message of a keyframe, without its points. ``uses_camera``: whether poses are computed with known
    intrinsics. Raises ValueError for a keyframe without a pose."""
    if record.pose is None:
        raise ValueError(f"keyframe {record.id} has no pose")
    (crop_height, crop_width), (height, width) = record.crop_size, record.header.size
    pixels_per_crop_pixel = 1.0 / max(crop_width / width, crop_height / height)
    camera = record.header.camera if uses_camera else None
    focal_px = record.pose.focal_px * pixels_per_crop_pixel
    return Keyframe(
        header=header(record.header.stamp_ns, map_frame),
        id=record.id,
        frame_index=record.index,
        pose=pose,
        camera_frame=record.header.frame_id,
        confidence=record.mean_confidence,
        focal_length=focal_px if camera is None else math.sqrt(camera.fx * camera.fy),
        focal_length_estimated=camera is None,
        inlier_fraction=record.pose.inlier_fraction,
        reprojection_error=record.pose.reprojection_error_px * pixels_per_crop_pixel,
    )

"""The depth image of a frame, and the camera that it is an image of."""

from __future__ import annotations

import array
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from slam3r_ros.engine.encoder import crop_camera
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import invert_rigid
from slam3r_ros.ros.output.messages import camera_info_message, header
from slam3r_ros.ros.output.tuning import TUNING
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.threads.async_publisher import AsyncPublisher
from slam3r_ros.types import MapUpdate

_RELIABLE = QoSProfile(depth=TUNING.queue_depth)
"""Quality of service of both topics."""


class DepthOutput:
    """The topics ~/depth and ~/depth/camera_info, for tracked frames that have a pointmap."""

    def __init__(self, node: Node, settings: NodeSettings, publisher: AsyncPublisher) -> None:
        self._node = node
        self._least_confidence = settings.slam.map.point_confidence
        self._use_camera = settings.slam.pose.use_camera_info
        self._images = node.create_publisher(Image, "~/depth", _RELIABLE)
        self._infos = node.create_publisher(CameraInfo, "~/depth/camera_info", _RELIABLE)
        self._queue = publisher.topic_queue(self._images, TUNING.waiting_depth_images)

    @property
    def is_wanted(self) -> bool:
        """Whether somebody subscribes to one of the topics."""
        return self._images.get_subscription_count() > 0 or self._infos.get_subscription_count() > 0

    def publish(self, update: MapUpdate, unit: float) -> None:
        """Publish the depths of a tracked frame; ``unit`` is the published length of a scene unit."""
        pose, points_world, confidence = update.pose, update.pointmaps.points_world, update.pointmaps.confidence
        assert pose is not None
        camera = depth_camera(confidence.shape, pose.focal_px, update.header.camera if self._use_camera else None)
        head = header(update.header.stamp_ns, update.header.frame_id)

        def make() -> Image:
            self._infos.publish(camera_info_message(head, camera))  # whoever joins the two has it when the image comes
            depths = depth_image(points_world, confidence, pose.T_world_camera, self._least_confidence)
            depths *= np.float32(unit)
            height, width = depths.shape
            # Assigning bytes or an ndarray to `data` checks every byte in Python; an array.array is taken as it is.
            data = array.array("B", depths.astype("<f4", copy=False).tobytes())
            return Image(
                header=head, height=height, width=width, encoding="32FC1", is_bigendian=0, step=4 * width, data=data
            )

        self._queue.put(make)

    def clear(self) -> None:
        """Remove the depth images that wait to be published."""
        self._queue.clear()

    def destroy(self) -> None:
        """Destroy the publishers."""
        self._node.destroy_publisher(self._images)
        self._node.destroy_publisher(self._infos)


def depth_image(
    points_world: NDArray[np.float32],
    confidence: NDArray[np.float32],
    T_world_camera: NDArray[np.float64],
    least_confidence: float,
) -> NDArray[np.float32]:
    """Return (H, W) distances along the optical axis of (H, W, 3) world points, scene units.

    NaN where there is none: points of exactly zero, which mark invalid ones, those behind the camera or not finite, and
    those whose confidence (H, W) is below the least.
    """
    to_camera = invert_rigid(T_world_camera)[2].astype(np.float32)
    depths: NDArray[np.float32] = points_world @ to_camera[:3] + to_camera[3]
    valid = points_world.any(axis=2) & np.isfinite(depths) & (depths > 0) & (confidence >= least_confidence)
    return np.where(valid, depths, np.float32(np.nan))


def depth_camera(size: tuple[int, ...], focal_px: float, camera: Camera | None) -> Camera:
    """Return the pinhole camera of a pointmap of (height, width) pixels, as its pose was computed with.

    That is the crop of a known ``camera`` of the whole image; else the focal length is ``focal_px``, pixels of the
    pointmap, and the principal point its centre.
    """
    height, width = size
    if camera is not None:
        return replace(crop_camera(camera, (height, width)), distortion_model="none", distortion=())
    return Camera(width, height, focal_px, focal_px, (width - 1) / 2, (height - 1) / 2)

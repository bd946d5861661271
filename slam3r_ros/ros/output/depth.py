"""The depth image of a frame, and the camera that it is an image of."""

from __future__ import annotations

import array
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from slam3r_ros.engine.keyframe_view import KeyframeView, depth_image, pointmap_camera
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.ros.output.messages import camera_info_message, header
from slam3r_ros.ros.output.tuning import TUNING
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.threads.async_publisher import AsyncPublisher
from slam3r_ros.types import ImageHeader, MapUpdate

_RELIABLE = QoSProfile(depth=TUNING.queue_depth)
"""Quality of service of both topics."""


class DepthOutput:
    """The topics ~/depth and ~/depth/camera_info: of keyframes with dense depth; without it, of tracked frames that
    have a pointmap."""

    def __init__(self, node: Node, settings: NodeSettings, publisher: AsyncPublisher) -> None:
        self._node = node
        self._least_confidence = settings.slam.map.point_confidence
        self._use_camera = settings.slam.pose.use_camera_info
        self._images = node.create_publisher(Image, "~/depth", _RELIABLE)
        self._infos = node.create_publisher(CameraInfo, "~/depth/camera_info", _RELIABLE)
        self._queue = publisher.topic_queue(self._images, TUNING.waiting_depth_images)

    def change_settings(self, settings: NodeSettings) -> None:
        """Use another confidence below which depths are unknown."""
        self._least_confidence = settings.slam.map.point_confidence

    @property
    def is_wanted(self) -> bool:
        """Whether somebody subscribes to one of the topics."""
        return self._images.get_subscription_count() > 0 or self._infos.get_subscription_count() > 0

    def publish(self, update: MapUpdate, unit: float) -> None:
        """Publish the depths of a tracked frame's pointmap; ``unit`` is the published length of a scene unit."""
        pose, points_world, confidence = update.pose, update.pointmaps.points_world, update.pointmaps.confidence
        assert pose is not None
        camera = pointmap_camera(confidence.shape, pose.focal_px, update.header.camera if self._use_camera else None)
        T_world_camera, least = pose.T_world_camera, self._least_confidence
        self._put(update.header, camera, unit, lambda: depth_image(points_world, confidence, T_world_camera, least))

    def publish_view(self, view: KeyframeView, unit: float) -> None:
        """Publish the dense depths of a keyframe's whole image, at the size of that image."""
        depth, size = view.depth, (view.camera.width, view.camera.height)

        def enlarged() -> NDArray[np.float32]:  # no depths between foreground and background
            return np.array(cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT), np.float32)

        self._put(view.header, view.camera, unit, enlarged)

    def _put(
        self, image: ImageHeader, camera: Camera, unit: float, make_depths: Callable[[], NDArray[np.float32]]
    ) -> None:
        head = header(image.stamp_ns, image.frame_id)

        def make() -> Image:
            self._infos.publish(camera_info_message(head, camera))  # whoever joins the two has it when the image comes
            depths = make_depths()
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

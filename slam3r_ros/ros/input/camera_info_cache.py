"""Intrinsics from camera_info, where they can be used."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo

from slam3r_ros.geometry.camera import Camera, CameraError
from slam3r_ros.io.camera_info import camera_from_message, camera_of_size, skew_remark
from slam3r_ros.ros.pipeline.throttled_log import ThrottledLog


class CameraInfoCache:
    """The newest camera_info. `take` is called by the executor thread, the rest by the worker."""

    def __init__(self, notices: ThrottledLog, *, rectified: bool) -> None:
        self._notices = notices
        self._rectified = rectified
        self._newest: CameraInfo | None = None
        self._read: CameraInfo | None = None
        self._camera: Camera | None = None

    @property
    def frame_id(self) -> str:
        """Frame of the newest camera_info, empty before the first."""
        return "" if self._newest is None else str(self._newest.header.frame_id)

    def take(self, message: CameraInfo) -> None:
        """Keep a message."""
        self._newest = message

    def camera_for(self, width: int, height: int) -> Camera | None:
        """The camera of an image of this size; None, and the user told why, where there is none that can be used."""
        message = self._newest
        if message is not self._read:
            self._read = message
            self._camera = None if message is None else self._usable(message)
        camera = self._camera
        fitting = None if camera is None else camera_of_size(camera, width, height)
        if camera is None or fitting is not None:
            return fitting
        self._notices.warn(
            "camera_info size",
            f"camera_info ignored: it is for {camera.width} x {camera.height} pixels, "
            f"the images have {width} x {height}; "
            "the focal length is estimated instead",
        )
        return None

    def _usable(self, message: CameraInfo) -> Camera | None:
        try:
            camera = camera_from_message(message, rectified=self._rectified)
            if (remark := skew_remark(message, rectified=self._rectified)) is not None:
                self._notices.warn("camera_info skew", f"camera_info: {remark}")
            return camera
        except CameraError as error:
            self._notices.warn("camera_info", f"camera_info ignored: {error}; the focal length is estimated instead")
            return None

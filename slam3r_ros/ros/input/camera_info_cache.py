"""Intrinsics from camera_info, where they can be used."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo

from slam3r_ros.geometry.camera import Camera, CameraError
from slam3r_ros.io.camera_info import camera_from_message, camera_of_size, skew_remark
from slam3r_ros.ros.throttled_log import ThrottledLog


class CameraInfoCache:
    """The newest camera_info. The executor thread calls `update`, the tracking thread everything else."""

    def __init__(self, log: ThrottledLog, *, rectified: bool) -> None:
        """``rectified``: the images are rectified, so that the intrinsics are those of the message's P."""
        self._log = log
        self._rectified = rectified
        self._newest: CameraInfo | None = None
        self._parsed: CameraInfo | None = None
        """The message that `_camera` was made of."""
        self._camera: Camera | None = None

    @property
    def frame_id(self) -> str:
        """Name of the optical frame in the newest camera_info; empty before the first."""
        return "" if self._newest is None else str(self._newest.header.frame_id)

    def update(self, message: CameraInfo) -> None:
        """Keep a message as the newest one; it is parsed when its intrinsics are asked for."""
        self._newest = message

    def camera_for(self, width: int, height: int) -> Camera | None:
        """Return the intrinsics of an image of this size; None where there are none, and a warning says why."""
        message = self._newest
        if message is not self._parsed:
            self._parsed = message
            self._camera = None if message is None else self._parse(message)
        camera = self._camera
        fitting = None if camera is None else camera_of_size(camera, width, height)
        if camera is None or fitting is not None:
            return fitting
        self._log.warn(
            "camera_info size",
            f"camera_info ignored: it is for {camera.width} x {camera.height} pixels, "
            f"the images have {width} x {height}; "
            "the focal length is estimated instead",
        )
        return None

    def _parse(self, message: CameraInfo) -> Camera | None:
        try:
            camera = camera_from_message(message, rectified=self._rectified)
            if (remark := skew_remark(message, rectified=self._rectified)) is not None:
                self._log.warn("camera_info skew", f"camera_info: {remark}")
            return camera
        except CameraError as error:
            self._log.warn("camera_info", f"camera_info ignored: {error}; the focal length is estimated instead")
            return None

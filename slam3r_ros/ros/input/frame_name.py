"""The name of the camera's optical frame, as images and camera_info give it."""

from __future__ import annotations

import math

from slam3r_ros.ros.throttled_log import ThrottledLog

_DEFAULT = "camera"
"""The name where the driver gives none."""


class FrameName:
    """Makes a name that tf2 takes of the frame_id of each image, with one warning where the driver should change it."""

    def __init__(self, log: ThrottledLog) -> None:
        self._log = log
        self._given: str | None = None
        self._name = _DEFAULT

    def of(self, image: str, camera_info: str) -> str:
        """Return the name for an image with this frame_id: its own, else camera_info's, else 'camera'."""
        given = image or camera_info
        if given != self._given:
            is_first, former, self._given = self._given is None, self._name, given
            self._name = self._checked(given)
            if not is_first and self._name != former:
                self._log.warn(
                    "frame_id change",
                    f"the images' frame_id changed from '{former}' to '{self._name}': poses and TF are each image's "
                    "own frame's; let one camera publish on the topic, or set base_frame",
                )
        return self._name

    def _checked(self, given: str) -> str:
        name = given.lstrip("/")
        if not given:
            self._log.warn(
                "no frame_id",
                f"images and camera_info have an empty frame_id: using '{_DEFAULT}'; let the driver name its frame",
                math.inf,
            )
        elif name != given:
            self._log.warn(
                "frame_id slash",
                f"the images' frame_id '{given}' begins with a slash, which tf2 does not take: using "
                f"'{name or _DEFAULT}'; set the driver's frame_id so",
                math.inf,
            )
        return name or _DEFAULT

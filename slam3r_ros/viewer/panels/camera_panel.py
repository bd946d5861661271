"""The newest keyframe beside the map: image, depth and confidence."""

from __future__ import annotations

import cv2
import numpy as np
import viser
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.viewer.colouring import confidence_picture, depth_picture
from slam3r_ros.viewer.map_model import MapSnapshot

_HEIGHT = 104
"""Height of the pictures, pixels."""
_NOTHING = np.full((9, 16, 3), 30, np.uint8)


class CameraPanel:
    """Three pictures that follow the newest keyframe."""

    def __init__(self, gui: viser.GuiApi) -> None:
        self._shown: KeyframeView | None = None
        self._image = gui.add_image(_NOTHING, label="Image", format="jpeg", jpeg_quality=80)
        self._depth = gui.add_image(_NOTHING, label="Depth", format="jpeg", jpeg_quality=80)
        self._confidence = gui.add_image(_NOTHING, label="Confidence", format="jpeg", jpeg_quality=80)

    def update(self, snapshot: MapSnapshot) -> None:
        """Follow the newest keyframe."""
        view = snapshot.newest_view
        if view is self._shown:
            return
        self._shown = view
        if view is None:
            self._image.image = self._depth.image = self._confidence.image = _NOTHING
            return
        self._image.image = _fitted(view.image)
        self._depth.image = _fitted(depth_picture(view.depth))
        self._confidence.image = _fitted(confidence_picture(view.confidence))
        known = view.depth[np.isfinite(view.depth)]
        if len(known):
            nearest, farthest = np.percentile(known, [2, 98])
            unit = snapshot.unit
            self._depth.label = f"Depth {nearest * unit:.2g} to {farthest * unit:.2g} {snapshot.unit_name}"


def _fitted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture of the panel's height."""
    width = max(1, round(image.shape[1] * _HEIGHT / image.shape[0]))
    method = cv2.INTER_AREA if image.shape[0] > _HEIGHT else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image, (width, _HEIGHT), interpolation=method), np.uint8)

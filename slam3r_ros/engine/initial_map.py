"""The initial map of the first frames (SLAM3R section 3.3, scene initialisation)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from slam3r_ros.device.host_transfer import to_host
from slam3r_ros.engine.image_to_points_stage import ImageToPointsStage, normalise
from slam3r_ros.engine.local_to_world_stage import registered_frames
from slam3r_ros.engine.tuning import TUNING
from slam3r_ros.networks.decoder import Pointmaps
from slam3r_ros.settings import InitializeSettings
from slam3r_ros.types import EncodedFrame, LocalPointmap, RegisteredFrame


@dataclass(frozen=True, slots=True, eq=False)
class InitialMap:
    """The first frames, registered together by I2P alone; the camera of one of them is the world."""

    keyframes: tuple[RegisteredFrame, ...]
    """The initial frames, in order."""
    reference: int
    """Index of the frame whose camera is the world's origin."""


@dataclass(frozen=True, slots=True)
class NotInitialized:
    """The answer where frames cannot make an initial map."""

    reason: str
    """Why they cannot, one sentence for the user."""


class InitialMapBuilder:
    """Tries to make an initial map of an initial window."""

    def __init__(
        self, image_to_points: ImageToPointsStage, settings: InitializeSettings, point_confidence: float
    ) -> None:
        self._image_to_points = image_to_points
        self._settings = settings
        self._point_confidence = point_confidence

    def build(self, frames: Sequence[EncodedFrame], batch_limit: int | None = None) -> InitialMap | NotInitialized:
        """The initial map of ``frames`` (at least 2), or why they cannot make one.

        I2P decodes at most ``batch_limit`` windows at once, all where that is None.
        """
        settings = self._settings
        if reason := self._check_images(frames):
            return NotInitialized(reason)
        while True:
            pointmaps = self._image_to_points.every_reference(frames, batch_limit)
            (by_reference,) = to_host(pointmaps.confidence.mean(dim=(2, 3)).mean(dim=1))
            best = int(by_reference.argmax())
            confidence = float(by_reference[best])
            if confidence >= settings.shrink_below or len(frames) <= TUNING.min_shrunk_window:
                break
            frames = frames[:-1]
        if confidence < settings.minimum_confidence:
            return NotInitialized(
                f"confidence too low: {confidence:.2f} with {len(frames)} frames, "
                f"needed {settings.minimum_confidence:.2f}; "
                "move the camera sideways over something with texture"
            )
        points, confidences = pointmaps.points[best], pointmaps.confidence[best]
        valid = confidences >= self._point_confidence
        points = normalise(points, valid)
        locals_ = [
            _initial_pointmap(frame, points[i], confidences[i], valid[i], is_reference=i == best)
            for i, frame in enumerate(frames)
        ]
        keyframes = registered_frames(locals_, Pointmaps(points, confidences), registration=None)
        return InitialMap(tuple(keyframes), frames[best].index)

    def _check_images(self, frames: Sequence[EncodedFrame]) -> str:
        """Why these images cannot make an initial map; empty if nothing speaks against it."""
        grey = [cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in frames]
        texture = min(float(image.std()) for image in grey)
        if texture < self._settings.minimum_texture:
            return (
                f"no texture: grey levels vary by {texture:.1f}, needed {self._settings.minimum_texture:.1f}; "
                "is the lens covered, or the picture over- or underexposed?"
            )
        # Averaging blocks of pixels takes the sensor's noise out of the difference.
        small = [cv2.resize(image, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA) for image in grey]
        motion = max(float(np.abs(image - small[0]).mean()) for image in small[1:])
        if motion < self._settings.minimum_motion:
            return (
                f"no motion: images differ by {motion:.2f} grey levels, "
                f"needed {self._settings.minimum_motion:.2f}; move the camera"
            )
        return ""


def _initial_pointmap(
    frame: EncodedFrame, points: Tensor, confidence: Tensor, valid: Tensor, *, is_reference: bool
) -> LocalPointmap:
    """The reference's world points are its camera points too; the others have no pointmap of their own."""
    own = points if is_reference else torch.zeros_like(points)
    valid = valid if is_reference else torch.zeros_like(valid)
    return LocalPointmap(frame, own, confidence, valid, own, confidence.mean())


def with_scaled_confidence(keyframe: RegisteredFrame, factor: float) -> RegisteredFrame:
    """An initial frame with its confidence multiplied by a factor; that of its two pointmaps is the same."""
    confidence, mean = keyframe.on_host.confidence * factor, keyframe.mean_confidence * factor
    on_host = replace(keyframe.on_host, confidence=confidence, confidence_camera=confidence)
    return replace(keyframe, on_host=on_host, mean_confidence=mean, local_mean_confidence=mean)


def waiting_reason(have: int, wanted: int, ended: bool) -> str:
    """Why there is no initial map yet: ``have`` images of the ``wanted`` that the initial window needs have come."""
    if ended and have < 2:
        return "the stream ended after one image: at least two images are needed to set up a map"
    return f"filling the initial window: {have} of {wanted} images"

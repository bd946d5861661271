"""From a camera's image to tokens: undistort, resize, crop, encode, once for every frame."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from slam3r_ros.engine.camera import Camera
from slam3r_ros.engine.types import EncodedFrame, Frame, PreparedFrame
from slam3r_ros.networks.interfaces import PointsNetwork


def resize_and_crop(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale an image (height, width, 3) until it just covers ``size`` (height, width) and cut out the centre.

    Lanczos when shrinking, bicubic when enlarging, as the published networks were trained.
    """
    width, height = _covering_size(image.shape[1], image.shape[0], size)
    shrinking = max(width, height) < max(image.shape[:2])
    method = Image.Resampling.LANCZOS if shrinking else Image.Resampling.BICUBIC
    left, top = _corner(width, height, size)
    resized = np.asarray(Image.fromarray(image).resize((width, height), method))
    return resized[top : top + size[0], left : left + size[1]].copy()


def crop_camera(camera: Camera, size: tuple[int, int]) -> Camera:
    """Intrinsics of what `resize_and_crop` makes of this camera's image."""
    width, height = _covering_size(camera.width, camera.height, size)
    left, top = _corner(width, height, size)
    return camera.scaled(width, height).cropped(left, top, size[1], size[0])


def _covering_size(width: int, height: int, size: tuple[int, int]) -> tuple[int, int]:
    scale = max(size[1] / width, size[0] / height)
    return max(size[1], round(width * scale)), max(size[0], round(height * scale))


def _corner(width: int, height: int, size: tuple[int, int]) -> tuple[int, int]:
    return width // 2 - size[1] // 2, height // 2 - size[0] // 2


class Encoder:
    """Turns frames into encoded frames, in two steps: one that any thread may do ahead, one for the engine's."""

    def __init__(self, network: PointsNetwork) -> None:
        self._network = network
        self._undistortion: tuple[Camera, NDArray[np.float32], NDArray[np.float32]] | None = None

    def prepare(self, frame: Frame) -> PreparedFrame:
        """Undistort (where the camera is known to distort) and crop. To be used by one thread, not always the same."""
        image, camera = self._undistort(frame)
        crop = resize_and_crop(image, self._network.config.image_size)
        return PreparedFrame(frame.stamp_ns, crop, camera, frame.image.shape[:2], frame.skipped)

    def encode(
        self, frames: Sequence[Frame | PreparedFrame], first_index: int, first_source: int | None = None
    ) -> list[EncodedFrame]:
        """Encode, after preparing what is not prepared.

        Indices count from ``first_index``, those in the camera's stream from ``first_source`` (default: the same).
        """
        network, size = self._network, self._network.config.image_size
        prepared = [self.prepare(frame) if isinstance(frame, Frame) else frame for frame in frames]
        crops = np.stack([frame.image for frame in prepared])
        pixels = torch.from_numpy(crops).to(network.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        tokens = network.encode(pixels)
        x = network.decoder_tokens(tokens)
        references, sources = network.first_reference(x), network.first_source(x)
        all_skipped = accumulate(frame.skipped for frame in prepared)
        return [
            EncodedFrame(
                index=first_index + number,
                stamp_ns=frame.stamp_ns,
                image=frame.image,
                camera=None if frame.camera is None else crop_camera(frame.camera, size),
                tokens=tokens[number],
                as_reference=references[number],
                as_source=sources[number],
                source_index=(first_index if first_source is None else first_source) + number + skipped,
            )
            for number, (frame, skipped) in enumerate(zip(prepared, all_skipped, strict=True))
        ]

    def _undistort(self, frame: Frame) -> tuple[NDArray[np.uint8], Camera | None]:
        camera = frame.camera
        if camera is None or not camera.is_distorted:
            return frame.image, camera
        if self._undistortion is None or self._undistortion[0] != camera:
            self._undistortion = (camera, *camera.undistortion_maps())
        _, map_x, map_y = self._undistortion
        undistorted = cv2.remap(frame.image, map_x, map_y, cv2.INTER_LINEAR)
        return undistorted.astype(np.uint8, copy=False), camera.without_distortion()

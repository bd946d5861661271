"""From a camera's image to tokens: undistort, resize, crop, encode, once for every frame."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from slam3r_ros.device.cuda_stream import SideStream
from slam3r_ros.device.host_transfer import Download, to_device
from slam3r_ros.device.memory_guard import is_out_of_memory
from slam3r_ros.device.resize import DeviceResizer, is_shrinking
from slam3r_ros.engine.tuning import TUNING
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.crop import centre_corner, covering_size, crop_camera
from slam3r_ros.networks.interfaces import PointsNetwork
from slam3r_ros.types import EncodedAhead, EncodedImage, Frame, ImageHeader, PreparedFrame, UnencodedFrame
from slam3r_ros.vision.working_image import WorkingImage


def resize_and_crop(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale an image (height, width, 3) until it just covers ``size`` (height, width) and cut out the centre.

    Lanczos when shrinking, bicubic when enlarging, as the published networks were trained.
    """
    rows, columns = image.shape[:2]
    height, width = covering = covering_size(rows, columns, size)
    shrinking = is_shrinking(rows, columns, covering)
    method = Image.Resampling.LANCZOS if shrinking else Image.Resampling.BICUBIC
    top, left = centre_corner(height, width, size)
    resized = np.asarray(Image.fromarray(image).resize((width, height), method))
    return resized[top : top + size[0], left : left + size[1]].copy()


class Encoder:
    """Turns frames into encoded frames, in two steps: one that another thread may do ahead, one for the engine's.

    On a GPU encoding has a stream of its own: the next frame is encoded while the networks and the map have the last.
    """

    def __init__(
        self,
        network: PointsNetwork,
        *,
        crop_on_device: bool | None = None,
        working_side: int | None = None,
        encodes_on_demand: bool = False,
    ) -> None:
        """``crop_on_device``: whether images are resized where the network is; by default if that is a GPU.
        ``working_side``: longer side in pixels of the whole images of visual odometry; None where none are wanted.
        ``encodes_on_demand``: resize an image only when it is encoded, and encode none ahead, since most never are.
        """
        self._network = network
        self._working_side = working_side
        on_device = network.device.type == "cuda" if crop_on_device is None else crop_on_device
        self._encodes_on_demand = encodes_on_demand
        self._resizer = DeviceResizer(network.config.image_size, network.device) if on_device else None
        self._side_stream, self._one_at_a_time = SideStream(network.device), threading.Lock()
        self._undistortion: tuple[Camera, NDArray[np.float32], NDArray[np.float32]] | None = None

    def prepare(self, frame: Frame) -> PreparedFrame:
        """Undistort (where the camera is known to distort) and crop, where the device does not do that.

        To be used by one thread, not always the same.
        """
        image, camera = self._undistort(frame)
        working = None if self._working_side is None else WorkingImage.of(image, camera, self._working_side)
        is_small = image.shape[0] * image.shape[1] <= TUNING.max_kept_pixels
        if self._resizer is None and not (self._encodes_on_demand and is_small):
            image = resize_and_crop(image, self._network.config.image_size)
        header = ImageHeader(frame.stamp_ns, frame.image.shape[:2], camera, frame.frame_id, frame.number)
        return PreparedFrame(header, image, working)

    @torch.inference_mode()
    def encode_ahead(self, frame: PreparedFrame) -> PreparedFrame | EncodedAhead:
        """The encoded image, while the engine's thread has others; the frame as it is where frames are encoded only
        when a window needs them, and where the device has no memory.

        To be used by one thread, not always the same.
        """
        if self._encodes_on_demand:
            return frame
        try:
            (encoded,), ready = self._encode([frame])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return frame  # the engine's thread will find room for it, or leave the frame out
        return EncodedAhead(encoded, ready)

    def encode(self, frames: Sequence[Frame | PreparedFrame | EncodedAhead]) -> list[EncodedImage]:
        """Encode what is not encoded, all as one batch, after preparing what is not prepared."""
        ahead = [frame for frame in frames if isinstance(frame, EncodedAhead)]
        if len(ahead) < len(frames):
            prepared = [
                self.prepare(frame) if isinstance(frame, Frame) else frame
                for frame in frames
                if not isinstance(frame, EncodedAhead)
            ]
            fresh, ready = self._encode(prepared)
            remaining = iter(EncodedAhead(encoded, ready) for encoded in fresh)
            ahead = [frame if isinstance(frame, EncodedAhead) else next(remaining) for frame in frames]
        for each in ahead:
            encoded = each.encoded
            activations = (*encoded.reference_activations.tensors, *encoded.source_activations.tensors)
            self._side_stream.wait_event(each.ready, (encoded.tokens, *activations))
        return [each.encoded for each in ahead]

    def _encode(self, prepared: Sequence[PreparedFrame]) -> tuple[list[EncodedImage], torch.cuda.Event | None]:
        """The encoded images, and the event that the stream which uses them has to wait for."""
        network, size = self._network, self._network.config.image_size
        with self._one_at_a_time, self._side_stream.work():
            grey_levels, crops = self._crops(prepared)
            tokens = network.encode(grey_levels / 127.5 - 1)
            x = network.decoder_tokens(tokens)
            references, sources = network.reference_activations(x), network.source_activations(x)
            ready = self._side_stream.record_event()
            (images,) = crops.wait()  # the device encodes meanwhile
        encoded = [
            EncodedImage(
                header=frame.header,
                image=images[number],
                camera=None if frame.header.camera is None else crop_camera(frame.header.camera, size),
                tokens=tokens[number],
                reference_activations=references[number],
                source_activations=sources[number],
                working=frame.working,
            )
            for number, frame in enumerate(prepared)
        ]
        return encoded, ready

    def _crops(self, frames: Sequence[PreparedFrame]) -> tuple[Tensor, Download]:
        """Crops (frames, 3, H, W) float32, 0 to 255, on the device; the same (frames, H, W, 3) uint8 for the host."""
        device = self._network.device
        if self._resizer is None:
            images = np.stack([self._cropped(frame.image) for frame in frames])
            return to_device(images, device).permute(0, 3, 1, 2).float(), Download(torch.from_numpy(images))
        crops = torch.stack([self._resizer.resize(to_device(frame.image, device)) for frame in frames])
        return crops, Download(crops.to(torch.uint8).permute(0, 2, 3, 1).contiguous())

    def _cropped(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The crop at the networks' size of an image that may be it already."""
        size = self._network.config.image_size
        return image if image.shape[:2] == size else resize_and_crop(image, size)

    def unencoded(self, frame: Frame | PreparedFrame, index: int, source_index: int) -> UnencodedFrame:
        """A frame with its place in the stream, prepared where it is not, to be encoded when a window needs it."""
        prepared = self.prepare(frame) if isinstance(frame, Frame) else frame
        size, camera = self._network.config.image_size, prepared.header.camera
        return UnencodedFrame(
            index, source_index, prepared, None if camera is None else crop_camera(camera, size), size
        )

    def _undistort(self, frame: Frame) -> tuple[NDArray[np.uint8], Camera | None]:
        camera = frame.camera
        if camera is None or not camera.is_distorted:
            return frame.image, camera
        if self._undistortion is None or self._undistortion[0] != camera:
            self._undistortion = (camera, *camera.undistortion_maps())
        _, map_x, map_y = self._undistortion
        undistorted = cv2.remap(frame.image, map_x, map_y, cv2.INTER_LINEAR)
        return undistorted.astype(np.uint8, copy=False), camera.without_distortion()

"""From a received image message to a frame that is ready for the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sensor_msgs.msg import Image

from slam3r_ros.engine.stage_timer import StageTimer
from slam3r_ros.io.image_decoding import ImageError, encoding_remark
from slam3r_ros.ros.input.camera_info_cache import CameraInfoCache
from slam3r_ros.ros.input.frame_name import FrameName
from slam3r_ros.ros.input.image_subscription import ReceivedImage
from slam3r_ros.ros.input.message_decoding import decode
from slam3r_ros.ros.input.timestamp_filter import TimestampDecision, TimestampFilter
from slam3r_ros.ros.throttled_log import ThrottledLog
from slam3r_ros.types import EncodedAhead, Frame, PreparedFrame

NANOSECONDS = 10**9
"""Nanoseconds in a second."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadyFrame:
    """An image that is ready to be pushed into the engine."""

    frame: PreparedFrame | EncodedAhead
    """The image as the engine takes it; its header carries stamp, frame_id, received size, camera and number."""
    stamp_ns: int
    """Time at which the image was taken, integer nanoseconds."""
    epoch: int
    """Number of backward jumps of time before this image: where it grows, the map of the frames before is over."""


class FrameEncoder(Protocol):
    """What prepares a frame for the engine: `engine.encoder.Encoder`."""

    def prepare(self, frame: Frame) -> PreparedFrame:
        """Undistort and crop a frame."""

    def encode_ahead(self, frame: PreparedFrame) -> PreparedFrame | EncodedAhead:
        """Encode a frame while the engine processes others; return it as it is where the device's memory is full."""


class FrameBuilder:
    """Decodes images, checks their stamps, adds the camera and prepares them. Used by the tracking thread."""

    def __init__(
        self, camera_info: CameraInfoCache, timestamps: TimestampFilter, encoder: FrameEncoder, log: ThrottledLog
    ) -> None:
        self._camera_info = camera_info
        self._timestamps = timestamps
        self._encoder = encoder
        self._log = log
        self._frame_name = FrameName(log)
        self._size: tuple[int, int] | None = None  # width and height of the newest image
        self._uncounted = 0  # images whose stamp was not newer: they were not left out of the stream, they repeat it
        self._held: PreparedFrame | None = None  # waits for the next image, since its stamp is far from the others'
        self._epoch = 0
        self.timer = StageTimer()
        """Time of the stages ``decode`` and ``encode_ahead``."""

    def build(self, received: ReceivedImage) -> list[ReadyFrame | None]:
        """Decide on an image, and on the one that waited for it because its stamp was far from the others'.

        Returns an entry for each image that was decided on, oldest first: its frame, or None if the image cannot be
        used and a warning says why. An image that waits for the next one has no entry yet.
        """
        with self.timer.stage("decode"):
            prepared = self._prepare(received)
        with self.timer.stage("encode_ahead"):
            return [None if frame is None else self._encode_ahead(frame) for frame in prepared]

    def reset(self) -> None:
        """Accept an image with any stamp next, and forget the image that waits for the next one."""
        self._timestamps.reset()
        self._held = None

    def _encode_ahead(self, frame: PreparedFrame) -> ReadyFrame:
        return ReadyFrame(self._encoder.encode_ahead(frame), frame.header.stamp_ns, self._epoch)

    def _prepare(self, received: ReceivedImage) -> list[PreparedFrame | None]:
        """Decode an image, check its stamp and crop it; returns what `build` does."""
        message = received.message
        try:
            image = decode(message)
            if min(image.shape[:2]) < 2:
                raise ImageError(f"image size: expected at least 2 x 2 pixels, got {image.shape[1]} x {image.shape[0]}")
        except (ImageError, MemoryError) as error:
            reason = str(error) or "there is no memory for it"
            self._log.warn(f"image: {reason[:24]}", f"image refused: {reason}")
            return [None]
        if isinstance(message, Image) and (remark := encoding_remark(message.encoding)):
            self._log.warn("encoding", remark)
        stamp = message.header.stamp
        check = self._timestamps.check(stamp.sec * NANOSECONDS + stamp.nanosec, received.arrival_ns)
        if check.key:
            self._log.warn(check.key, check.warning)
        prepared: list[PreparedFrame | None] = []
        if self._held is not None and check.held is not TimestampDecision.HOLD:
            prepared.append(self._held if check.held is TimestampDecision.USE else None)
            self._held = None
        if check.decision is TimestampDecision.DROP:
            self._uncounted += check.repeats
            return [*prepared, None]
        self._epoch += check.starts_new_map
        height, width = image.shape[:2]
        camera = self._camera_info.camera_for(width, height)
        self._check_size(width, height, is_calibrated=camera is not None)
        frame_id = self._frame_name.of(str(message.header.frame_id), self._camera_info.frame_id)
        number = received.number - self._uncounted  # images that were dropped or could not be decoded count
        frame = self._encoder.prepare(Frame(check.stamp_ns, image, camera, frame_id, number))
        if check.decision is TimestampDecision.HOLD:
            self._held = frame
            return prepared
        return [*prepared, frame]

    def _check_size(self, width: int, height: int, *, is_calibrated: bool) -> None:
        """Warn where the images' size has changed, and say when the focal length may no longer hold."""
        if self._size is not None and self._size != (width, height):
            old_width, old_height = self._size
            has_other_shape = old_width * height != width * old_height
            advice = (
                "; the focal length found so far may not hold: ~/reset estimates it again, camera_info would give it"
            )
            self._log.warn(
                "size change",
                f"the images' size changed from {old_width} x {old_height} to {width} x {height}: going on with it"
                f"{advice if has_other_shape and not is_calibrated else ''}",
            )
        self._size = (width, height)

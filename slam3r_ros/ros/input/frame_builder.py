"""From an image message to a frame ready for the engine, or to the reason why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from slam3r_ros.io.image_decoding import (
    ImageError,
    UnknownEncodingError,
    decode_compressed,
    decode_message,
    encoding_remark,
)
from slam3r_ros.ros.input.camera_info_cache import CameraInfoCache
from slam3r_ros.ros.input.image_subscription import Arrival
from slam3r_ros.ros.input.timestamp_filter import TimestampDecision, TimestampFilter
from slam3r_ros.ros.pipeline.throttled_log import ThrottledLog
from slam3r_ros.ros.stand_ins import decode_with_cv_bridge
from slam3r_ros.types import EncodedAhead, Frame, PreparedFrame

NANOSECONDS = 10**9


def decode(message: Image | CompressedImage) -> NDArray[np.uint8]:
    """(height, width, 3) RGB of a message; raises ImageError saying what is wrong with it."""
    if isinstance(message, CompressedImage):
        return decode_compressed(message.data)
    try:
        return decode_message(message)
    except UnknownEncodingError as unknown:
        try:
            return decode_with_cv_bridge(message)
        except ImageError as error:
            raise ImageError(f"{unknown}; {error}") from error


@dataclass(frozen=True, slots=True, eq=False)
class BuiltFrame:
    """An image that has been decoded and prepared for the encoder."""

    prepared: PreparedFrame
    epoch: int
    """Grows where time has jumped back: then the map of the frames before is over."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadyFrame:
    """An image that can be mapped."""

    frame: PreparedFrame | EncodedAhead
    stamp_ns: int
    epoch: int
    """As that of `BuiltFrame`."""


class FrameBuilder:
    """Decodes images, judges their stamps, adds their camera and prepares them. Used by the preparing thread."""

    def __init__(
        self,
        cameras: CameraInfoCache,
        stamps: TimestampFilter,
        notices: ThrottledLog,
        prepare: Callable[[Frame], PreparedFrame],
    ) -> None:
        self._cameras = cameras
        self._stamps = stamps
        self._notices = notices
        self._prepare = prepare
        self._size: tuple[int, int] | None = None
        self._not_counted = 0
        self._epoch = 0

    def make(self, arrival: Arrival) -> BuiltFrame | None:
        """The frame of an image; None, and the user told why, if it cannot be used."""
        message = arrival.message
        try:
            image = decode(message)
            if min(image.shape[:2]) < 2:
                raise ImageError(f"image size: expected at least 2 x 2 pixels, got {image.shape[1]} x {image.shape[0]}")
        except ImageError as error:
            self._notices.warn(f"image: {str(error)[:24]}", f"image refused: {error}")
            return None
        if isinstance(message, Image) and (remark := encoding_remark(message.encoding)):
            self._notices.warn("encoding", remark)
        stamp = message.header.stamp
        judgement = self._stamps.judge(stamp.sec * NANOSECONDS + stamp.nanosec, arrival.arrival_ns)
        if judgement.kind:
            self._notices.warn(judgement.kind, judgement.reason)
        if judgement.verdict is TimestampDecision.DROP:
            self._not_counted += 1
            return None
        self._epoch += judgement.verdict is TimestampDecision.RESET_AND_USE
        camera = self._cameras.camera_for(image.shape[1], image.shape[0])
        self._note_size(image.shape[1], image.shape[0], is_calibrated=camera is not None)
        frame = Frame(
            judgement.stamp_ns,
            image,
            camera,
            frame_id=self._frame_of(str(message.header.frame_id)),
            number=arrival.number
            - self._not_counted,  # dropped and unreadable images count, repeated and late ones do not
        )
        return BuiltFrame(self._prepare(frame), self._epoch)

    def forget_stamps(self) -> None:
        """Accept any stamp next."""
        self._stamps.forget()

    def _note_size(self, width: int, height: int, *, is_calibrated: bool) -> None:
        if self._size is not None and self._size != (width, height):
            old_width, old_height = self._size
            has_other_shape = old_width * height != width * old_height
            advice = (
                "; the focal length found so far may not hold: ~/reset looks for it anew, camera_info would tell it"
            )
            self._notices.warn(
                "size change",
                f"the images' size changed from {old_width} x {old_height} to {width} x {height}: going on with it"
                f"{advice if has_other_shape and not is_calibrated else ''}",
            )
        self._size = (width, height)

    def _frame_of(self, frame_id: str) -> str:
        name = frame_id or self._cameras.frame_id
        if not name:
            self._notices.warn(
                "no frame_id",
                "images and camera_info have an empty frame_id: using 'camera'; let the driver name its frame",
            )
        return name or "camera"

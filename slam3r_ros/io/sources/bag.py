"""Frames of a ROS 2 bag, without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import apsw
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

from slam3r_ros.geometry.camera import Camera, CameraError
from slam3r_ros.io.camera_info import Rectification, camera_from_message, rectification_from_message
from slam3r_ros.io.image_decoding import ImageError, decode_compressed, decode_message, encoding_remark
from slam3r_ros.io.sources.base import Source, SourceError, rate_of
from slam3r_ros.types import Frame

BAG_SUFFIXES = frozenset({".mcap", ".db3"})
_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
_DAMAGE = (ReaderError, apsw.Error, OSError, UnicodeDecodeError, MemoryError)
"""What rosbags raises for a file that is damaged or no bag."""
_RATE_SAMPLE = 100
"""Images that the rate is taken from."""
_RECTIFIED_WORDS = {"rect", "rectified"}


@dataclass(frozen=True, slots=True, eq=False)
class BagFrame(Frame):
    """A frame of a bag; its camera is that of the image as it is."""

    rectification: Rectification | None = None
    """What its CameraInfo says beyond that; None of an image that is rectified, and where nothing usable is said."""


class BagSource(Source):
    """One image topic of a .mcap or .db3 bag (the file, or its directory with metadata.yaml).

    Stamps are those of the images' headers (of their recording where the header has none). The camera is that of the
    CameraInfo topic beside the image topic, or of the only one there is: K with distortion, or P without where the
    images are ``rectified``, which the name of the topic may say too (image_rect, image_rect_color, image_rectified).
    """

    def __init__(
        self, path: Path, rate_hz: float | None = None, topic: str | None = None, *, rectified: bool = False
    ) -> None:
        self._path = path
        self._types = get_typestore(Stores.LATEST)
        try:
            with Reader(path) as reader:
                counts = _image_topics(reader)
                self._topic = _chosen_topic(path, counts, topic)
                self._is_rectified = rectified or _says_rectified(self._topic)
                self._info_topic = _info_topic_of(self._topic, reader)
                images, infos = self._connections(reader)
                stamps = [stamp for _, stamp, _ in islice(reader.messages(images), _RATE_SAMPLE)]
                first_info = next(reader.messages(infos), None) if infos else None
        except _DAMAGE as error:
            raise SourceError(f"bag '{path}' cannot be read: {error}") from error
        if not stamps:
            raise SourceError(f"bag '{path}' has no image on topic {self._topic}")
        super().__init__(f"{self._topic} of {path.name}", rate_hz or rate_of(stamps), counts[self._topic])
        self._first_cameras = (None, None) if first_info is None else self._cameras_of(first_info[2])

    def _frames(self) -> Iterator[Frame]:
        cameras = self._first_cameras
        try:
            with Reader(self._path) as reader:
                images, infos = self._connections(reader)
                for connection, recorded_ns, data in reader.messages([*images, *infos]):
                    if connection.msgtype == _CAMERA_INFO:
                        cameras = self._cameras_of(data)
                        continue
                    frame = self._frame_of(connection.msgtype, recorded_ns, data, *cameras)
                    if frame is not None:
                        yield frame
        except _DAMAGE as error:
            self._report(f"{self._path.name} breaks off: {error}")

    def _connections(self, reader: Reader) -> tuple[list[Connection], list[Connection]]:
        """Those of the image topic and of its CameraInfo."""
        images = [c for c in reader.connections if c.topic == self._topic and c.msgtype in (_IMAGE, _COMPRESSED)]
        infos = [c for c in reader.connections if c.topic == self._info_topic and c.msgtype == _CAMERA_INFO]
        return images, infos

    def _frame_of(
        self,
        kind: str,
        recorded_ns: int,
        data: bytes | memoryview,
        camera: Camera | None,
        rectification: Rectification | None,
    ) -> Frame | None:
        name = f"image recorded at {recorded_ns} ns"
        try:
            message: Any = self._types.deserialize_cdr(data, kind)
            image = decode_compressed(message.data) if kind == _COMPRESSED else decode_message(message)
            remark = None if kind == _COMPRESSED else encoding_remark(message.encoding)
        except (SerdeError, ImageError) as error:
            self._report(f"{name} left out: {error}")
            return None
        if remark is not None:
            self._report(remark)
        stamp, origin = message.header.stamp, str(self._info_topic)
        stamp_ns = (stamp.sec * 10**9 + stamp.nanosec) or recorded_ns
        frame = self._frame(name, stamp_ns, image, self._fitting(camera, image, origin))
        rectified = None if rectification is None else self._fitting(rectification.camera, image, origin)
        if frame is None or rectification is None or rectified is None:
            return frame
        return BagFrame(stamp_ns, image, frame.camera, rectification=Rectification(rectified, rectification.rotation))

    def _cameras_of(self, data: bytes | memoryview) -> tuple[Camera | None, Rectification | None]:
        """What a CameraInfo says of the images as they are, and of those that rectification would make of them."""
        try:
            message: Any = self._types.deserialize_cdr(data, _CAMERA_INFO)
            camera = camera_from_message(message, rectified=self._is_rectified)
        except (SerdeError, CameraError) as error:
            self._report(f"{self._info_topic} not used: {error}")
            return None, None
        return camera, None if self._is_rectified else rectification_from_message(message)


def _image_topics(reader: Reader) -> dict[str, int]:
    """The number of images of each image topic."""
    counts: dict[str, int] = {}
    for connection in reader.connections:
        if connection.msgtype in (_IMAGE, _COMPRESSED):
            counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
    return counts


def _chosen_topic(path: Path, counts: dict[str, int], wanted: str | None) -> str:
    known = ", ".join(f"{topic} ({count})" for topic, count in sorted(counts.items()))
    if not counts:
        raise SourceError(f"bag '{path}' has no topic of type {_IMAGE} or {_COMPRESSED}")
    if wanted is None and len(counts) > 1:
        raise SourceError(f"bag '{path}' has several image topics, name one: {known}")
    if wanted is None:
        return next(iter(counts))
    for topic in (wanted, "/" + wanted):
        if topic in counts:
            return topic
    raise SourceError(f"bag '{path}' has no image topic '{wanted}'; it has: {known}")


def _info_topic_of(topic: str, reader: Reader) -> str | None:
    """``camera_info`` in the image topic's namespace or, for a transport such as image/compressed, in the one above."""
    infos = {connection.topic for connection in reader.connections if connection.msgtype == _CAMERA_INFO}
    namespace = topic
    for _ in range(2):
        namespace = namespace.rpartition("/")[0]
        if f"{namespace}/camera_info" in infos:
            return f"{namespace}/camera_info"
    return infos.pop() if len(infos) == 1 else None


def _says_rectified(topic: str) -> bool:
    """Whether a topic's name says that its images are rectified; of image_rect/compressed, the name before."""
    names = topic.removesuffix("/compressed").split("/")
    return not _RECTIFIED_WORDS.isdisjoint(names[-1].split("_"))

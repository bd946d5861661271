"""Frames of a ROS 2 bag, without ROS."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

from slam3r_ros.geometry.camera import Camera, CameraError
from slam3r_ros.io.bags.bag import Bag
from slam3r_ros.io.bags.messages import BagError, RecordedMessage, Topic
from slam3r_ros.io.camera_info import Rectification, camera_from_message, rectification_from_message, skew_remark
from slam3r_ros.io.image_decoding import ImageError, decode_compressed, decode_message, encoding_remark
from slam3r_ros.io.sources.base import Source, SourceError, rate_of
from slam3r_ros.io.sources.recorded_time import RecordedTime, stamps_grow
from slam3r_ros.types import Frame

_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
_SAMPLE = 100
"""The number of images that rate and clock are judged by."""
_RECTIFIED_WORDS = {"rect", "rectified"}
"""Words in a topic's name that say that its images are rectified."""
_DAMAGED_MESSAGE = (SerdeError, struct.error, ValueError, IndexError, KeyError, TypeError, MemoryError)
"""What rosbags raises for a message that is not what its type says."""


@dataclass(frozen=True, slots=True, eq=False)
class BagFrame(Frame):
    """A frame of a bag. Its camera is that of the image as it is, rectified or not."""

    rectification: Rectification | None = None
    """What the CameraInfo says of the rectified image; None for an image that is rectified already, and where the
    CameraInfo says nothing usable."""


class BagSource(Source):
    """One image topic of a .mcap or .db3 bag: the file, its directory, or a directory of its parts.

    Stamps are those of the images' headers, or of their recording where `RecordedTime` says so. The camera is that of
    the CameraInfo topic beside the image topic, or of the only one there is: K with distortion, or P without where the
    images are ``rectified``, which the name of the topic may say too (image_rect, image_rect_color, image_rectified).
    """

    def __init__(
        self, path: Path, rate_hz: float | None = None, topic: str | None = None, *, rectified: bool = False
    ) -> None:
        self._path = path
        self._types = get_typestore(Stores.LATEST)
        try:
            self._bag = Bag(path)
            self._images = _chosen_topics(path, self._bag.counts, topic)
            self._infos = _info_topics_of(self._images[0].name, self._bag.counts)
            sample = list(islice(self._bag.messages(self._images), _SAMPLE))
            first_info = next(self._bag.messages(self._infos), None)
        except (BagError, OSError) as error:
            raise SourceError(f"bag '{path}' cannot be read: {error}") from error
        if not sample:
            raise SourceError(f"bag '{path}' has no image on topic {self._images[0].name}")
        self._is_rectified = rectified or _says_rectified(self._images[0].name)
        self._sample = [(_header_stamp_ns(message.data), message.recorded_ns) for message in sample]
        recorded = [recorded_ns for _, recorded_ns in self._sample]
        stamps = recorded if stamps_grow(recorded) else [header_ns for header_ns, _ in self._sample]
        count = sum(self._bag.counts[image] for image in self._images)
        super().__init__(f"{self._images[0].name} of {path.name}", rate_hz or rate_of(stamps), count)
        self._first_cameras = (None, None) if first_info is None else self._cameras_of(first_info.data)

    def _frames(self) -> Iterator[Frame]:
        cameras, time = self._first_cameras, RecordedTime(self._sample)
        try:
            for message in self._bag.messages([*self._images, *self._infos]):
                if message.topic.message_type == _CAMERA_INFO:
                    cameras = self._cameras_of(message.data)
                    continue
                frame = self._frame_of(message, time, *cameras)
                if frame is not None:
                    yield frame
        except OSError as error:
            self._report(f"{self._path.name} breaks off: {error}")
        for problem in [*time.problems, *self._bag.problems]:
            self._report(problem)

    def close(self) -> None:
        """End the iterations in progress, and remove what a compressed bag was unpacked to."""
        super().close()
        self._bag.close()

    def _frame_of(
        self, recorded: RecordedMessage, time: RecordedTime, camera: Camera | None, rectification: Rectification | None
    ) -> Frame | None:
        name, kind = f"image recorded at {recorded.recorded_ns} ns", recorded.topic.message_type
        try:
            message: Any = self._types.deserialize_cdr(recorded.data, kind)
            image = decode_compressed(message.data) if kind == _COMPRESSED else decode_message(message)
            remark = None if kind == _COMPRESSED else encoding_remark(message.encoding)
        except ImageError as error:
            self._report(f"{name} left out: {error}")
            return None
        except _DAMAGED_MESSAGE as error:
            self._report(f"{name} left out: it is no {kind}: {error}")
            return None
        if remark is not None:
            self._report(remark)
        header = message.header.stamp
        stamp_ns = time.stamp_ns(header.sec * 10**9 + header.nanosec, recorded.recorded_ns)
        origin = str(self._infos[0].name) if self._infos else ""
        frame = self._frame(name, stamp_ns, image, self._fitting(camera, image, origin))
        rectified = None if rectification is None else self._fitting(rectification.camera, image, origin)
        if frame is None or rectification is None or rectified is None:
            return frame
        return BagFrame(stamp_ns, image, frame.camera, rectification=Rectification(rectified, rectification.rotation))

    def _cameras_of(self, data: bytes) -> tuple[Camera | None, Rectification | None]:
        """What a CameraInfo says of the images as they are, and of those that rectification would make of them."""
        origin = self._infos[0].name
        try:
            message: Any = self._types.deserialize_cdr(data, _CAMERA_INFO)
            camera = camera_from_message(message, rectified=self._is_rectified)
        except CameraError as error:
            self._report(f"{origin} not used: {error}")
            return None, None
        except _DAMAGED_MESSAGE as error:
            self._report(f"{origin} not used: it is no {_CAMERA_INFO}: {error}")
            return None, None
        if (remark := skew_remark(message, rectified=self._is_rectified)) is not None:
            self._report(f"{origin}: {remark}")
        return camera, None if self._is_rectified else rectification_from_message(message)


def _header_stamp_ns(data: bytes) -> int:
    """The stamp in the header that a serialised message begins with; 0 where it is too short to have one."""
    if len(data) < 12:
        return 0
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(seconds) * 10**9 + int(nanoseconds)


def _chosen_topics(path: Path, counts: dict[Topic, int], wanted: str | None) -> list[Topic]:
    """The image topic to read, of one type or more; raises SourceError where there is none or a choice."""
    images: dict[str, list[Topic]] = {}
    for topic in counts:
        if topic.message_type in (_IMAGE, _COMPRESSED):
            images.setdefault(topic.name, []).append(topic)
    numbers = {name: sum(counts[topic] for topic in topics) for name, topics in images.items()}
    known = ", ".join(f"{name} ({number})" for name, number in sorted(numbers.items()))
    if not images:
        others = ", ".join(f"{topic.name} ({topic.message_type})" for topic in islice(counts, 10)) or "no topic at all"
        raise SourceError(f"bag '{path}' has no topic of type {_IMAGE} or {_COMPRESSED}; it has {others}")
    usable = [name for name in images if not name.endswith("/compressedDepth")] or list(images)
    if wanted is None and len(usable) > 1:
        raise SourceError(f"bag '{path}' has several image topics, name one: {known}")
    names = usable if wanted is None else [name for name in (wanted, f"/{wanted}") if name in images]
    if not names:
        raise SourceError(f"bag '{path}' has no image topic '{wanted}'; it has: {known}")
    chosen = images[names[0]]
    if all(topic.encoding != "cdr" for topic in chosen):
        raise SourceError(
            f"bag '{path}': {names[0]} is serialised as '{chosen[0].encoding}', ROS 2 has cdr: convert it "
            "(rosbags-convert --src FILE --dst DIRECTORY)"
        )
    return [topic for topic in chosen if topic.encoding == "cdr"]


def _info_topics_of(topic: str, counts: dict[Topic, int]) -> list[Topic]:
    """``camera_info`` in the image topic's namespace or, for a transport such as image/compressed, in the one above;
    else the only one there is."""
    infos = [found for found in counts if found.message_type == _CAMERA_INFO and found.encoding == "cdr"]
    namespace = topic
    for _ in range(2):
        namespace = namespace.rpartition("/")[0]
        beside = [info for info in infos if info.name == f"{namespace}/camera_info"]
        if beside:
            return beside
    return infos if len({info.name for info in infos}) == 1 else []


def _says_rectified(topic: str) -> bool:
    """Whether a topic's name says that its images are rectified; of image_rect/compressed, the name before."""
    names = topic.removesuffix("/compressed").split("/")
    return not _RECTIFIED_WORDS.isdisjoint(names[-1].split("_"))

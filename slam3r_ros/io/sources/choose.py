"""From the text on a command line to a source."""

from __future__ import annotations

import math
from pathlib import Path

from slam3r_ros.io.bags.bag import METADATA_NAME, bag_files
from slam3r_ros.io.bags.messages import BagError
from slam3r_ros.io.sources.bag import BagSource
from slam3r_ros.io.sources.base import Source, SourceError
from slam3r_ros.io.sources.images import CONVERT_IMAGES, IMAGE_SUFFIXES, UNREAD_SUFFIXES, ImageDirectorySource
from slam3r_ros.io.sources.video import VideoSource, video_in
from slam3r_ros.io.sources.webcam import WebcamSource

_NO_VIDEOS = (
    ({".bag"}, "is a ROS 1 bag: convert it (rosbags-convert --src FILE --dst DIRECTORY)"),
    ({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"}, "is an archive: unpack it and give the directory"),
    (
        {".slam3r", ".ply", ".pcd", ".las", ".laz", ".glb", ".tum"},
        "is a result, not images: 'slam3r_ros view' and 'slam3r_ros info' show a map",
    ),
)
"""What to say of files that are no videos, by their suffixes."""


def open_source(
    text: str, *, rate_hz: float | None = None, topic: str | None = None, rectified: bool = False
) -> Source:
    """Open what ``text`` names.

    - ``webcam`` or ``webcam:1``: a camera of this machine; stamps are the times the images came.
    - a directory of images, or one that has them in ``rgb/``; with the camera of ``intrinsics.txt`` (fx fy cx cy width
      height) and the stamps of ``timestamps.txt`` or ``poses.txt`` (seconds, first column) if they are there.
    - a directory with one video and no images: that video, with the camera and the stamps of the same files.
    - a .mcap or .db3 bag, compressed or not, as a file, a directory with metadata.yaml or a directory of its parts;
      stamps are the images'.
    - any other file: a video; stamps are those of its frames, from 0.

    ``rate_hz`` takes the place of the source's own rate; frames that were recorded with stamps keep them. ``topic``
    names a bag's image topic, which is needed only where there are several. ``rectified`` says that its images are
    rectified, which is needed only where the topic's name does not (as image_rect does). Raises SourceError saying what
    is wrong.
    """
    try:
        return _opened(text, rate_hz, topic, rectified)
    except OSError as error:
        raise SourceError(f"source '{text}' cannot be read: {error.strerror or error}") from error


def _opened(text: str, rate_hz: float | None, topic: str | None, rectified: bool) -> Source:
    """What `open_source` opens; raises OSError where something may not be read."""
    if rate_hz is not None and not (math.isfinite(rate_hz) and rate_hz > 0):
        raise SourceError(f"rate: expected more than 0 frames a second, got {rate_hz}")
    is_webcam = text == "webcam" or text.startswith("webcam:")
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:  # the home of a user that there is not
        raise SourceError(f"source '{text}' does not exist: {error}") from error
    if not is_webcam and (not text or not path.exists()):
        raise SourceError(f"source '{text}' does not exist (looked for {path.absolute()})")
    if not is_webcam and _is_bag(path):
        return BagSource(path, rate_hz, topic, rectified=rectified)
    if topic is not None:
        raise SourceError(f"source '{text}' is no bag, so it has no topic '{topic}': leave the topic out")
    if rectified:
        raise SourceError(f"source '{text}' is no bag, so it has no camera_info to take P of: leave rectified out")
    if is_webcam:
        return WebcamSource(_webcam_index(text), rate_hz)
    if path.is_dir():
        video = video_in(path)
        return ImageDirectorySource(path, rate_hz) if video is None else VideoSource(video, rate_hz, path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise SourceError(f"source '{text}' is a single image: give the directory it is in")
    if path.suffix.lower() in UNREAD_SUFFIXES:
        kind = path.suffix[1:].upper()
        raise SourceError(f"source '{text}' is an image of a format that is not read, {kind}: {CONVERT_IMAGES}")
    for suffixes, sentence in _NO_VIDEOS:
        if path.suffix.lower() in suffixes:
            raise SourceError(f"source '{text}' {sentence}")
    return VideoSource(path, rate_hz)


def _webcam_index(text: str) -> int:
    number = text.removeprefix("webcam").removeprefix(":")
    if not number:
        return 0
    if not (number.isascii() and number.isdigit()):
        raise SourceError(f"source '{text}': expected webcam or webcam:NUMBER, for example webcam:0")
    return int(number)


def _is_bag(path: Path) -> bool:
    """Whether to open a path as a bag; raises SourceError for a folder with several recordings."""
    if (path / METADATA_NAME).exists():
        return True
    try:
        return bool(bag_files(path))
    except BagError as error:
        raise SourceError(f"source '{path}' {error}") from error

"""What the files that a visitor has uploaded are, found out before anything is mapped."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path

import cv2
from PIL import Image, UnidentifiedImageError

from slam3r_ros.app.archive import SIDE_FILES, unpack_images
from slam3r_ros.app.limits import UploadError
from slam3r_ros.app.upload_folder import UploadFolder
from slam3r_ros.app.upload_report import UploadKind, UploadReport
from slam3r_ros.io.bags.bag import METADATA_NAME, Bag, is_bag_file
from slam3r_ros.io.bags.messages import BagError
from slam3r_ros.io.sources import SourceError, open_source
from slam3r_ros.io.sources.images import CONVERT_IMAGES, IMAGE_SUFFIXES, UNREAD_SUFFIXES
from slam3r_ros.io.sources.video import VIDEO_SUFFIXES

_ARCHIVE_SUFFIX = ".zip"
_IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


def inspect_upload(folder: UploadFolder) -> UploadReport:
    """What the files of a folder are together; archives are unpacked, and nothing is decoded that is too large.

    Raises UploadError where they are no video, no images and no bag, or not one of these alone.
    """
    for name in [name for name in folder.names if name.lower().endswith(_ARCHIVE_SUFFIX)]:
        unpack_images(folder.path / name, folder)
    paths = [folder.path / name for name in folder.names]
    bags = [path for path in paths if is_bag_file(path)]
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    videos = [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES]
    rest = [path for path in paths if path not in {*bags, *images, *videos} and path.name not in SIDE_FILES]
    if bags:
        rest = [path for path in rest if path.name != METADATA_NAME]
    _check_mixture(bags, images, videos, rest)
    try:
        if bags:
            return _inspect_bag(folder.path, bags)
        return _inspect_images(images, folder) if images else _inspect_video(videos[0], folder)
    except SourceError as error:
        raise UploadError(str(error).replace(f"{folder.path}/", "").replace(str(folder.path), "upload")) from error


def _check_mixture(bags: list[Path], images: list[Path], videos: list[Path], rest: list[Path]) -> None:
    """Refuse what is none of the kinds, and several kinds at once."""
    for path in rest:
        suffix = path.suffix.lower()
        if suffix in UNREAD_SUFFIXES:
            raise UploadError(f"'{path.name}' is of a format that is not read, {suffix[1:].upper()}: {CONVERT_IMAGES}")
        if suffix == ".bag":
            raise UploadError(f"'{path.name}' is a ROS 1 bag: convert it to ROS 2 with rosbags-convert")
        raise UploadError(f"'{path.name}' is no video, image, ZIP archive of images or ROS 2 bag by its name")
    kinds = [kind for kind, paths in (("bags", bags), ("images", images), ("videos", videos)) if paths]
    if len(kinds) > 1:
        raise UploadError(f"{' and '.join(kinds)} were uploaded together: upload one of them alone")
    if not kinds:
        raise UploadError("nothing was uploaded that has images")
    if len(videos) > 1:
        raise UploadError(f"{len(videos)} videos were uploaded: upload one of them alone")
    if len(images) == 1:
        raise UploadError(f"'{images[0].name}' is a single image: a map needs two or more of the same place")


def _inspect_images(images: list[Path], folder: UploadFolder) -> UploadReport:
    """Images by their headers alone."""
    sizes, unreadable = set(), []
    for path in images:
        try:
            with Image.open(path) as image:
                width, height = image.size
        except Image.DecompressionBombError:
            raise _too_large(path.name, folder) from None
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
            unreadable.append(path.name)
            continue
        if width * height > folder.limits.pixels:
            raise _too_large(path.name, folder, width, height)
        sizes.add((width, height))
    if len(images) - len(unreadable) < 2:
        raise UploadError(f"'{unreadable[0]}' is no image that can be read: it is damaged or something else")
    open_source(str(folder.path)).close()
    width, height = max(sizes)
    shown = f"of {width} x {height} pixels" if len(sizes) == 1 else "of several sizes"
    remark = f", {len(unreadable)} more cannot be read" if unreadable else ""
    return UploadReport(UploadKind.IMAGES, f"{len(images) - len(unreadable)} images {shown}{remark}")


def _inspect_video(path: Path, folder: UploadFolder) -> UploadReport:
    """A video by what its header says, and then by its first frame."""
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise UploadError(f"'{path.name}' is no video that can be read: it is damaged or something else")
        width, height, rate, count = (
            float(capture.get(key))
            for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT)
        )
    finally:
        capture.release()
    limits = folder.limits
    if width * height > limits.pixels:
        raise _too_large(path.name, folder, int(width), int(height))
    seconds = count / rate if math.isfinite(rate) and rate > 0 else 0.0
    if count > limits.video_frames or seconds > limits.video_seconds:
        raise UploadError(
            f"'{path.name}' is too long: it has {count:.0f} frames in {seconds:.0f} s, at most "
            f"{limits.video_frames} in {limits.video_seconds:.0f} s are taken"
        )
    open_source(str(folder.path)).close()
    length = (
        f"{count:.0f} frames in {seconds:.1f}\N{NO-BREAK SPACE}s" if count > 0 and seconds > 0 else "of unknown length"
    )
    return UploadReport(UploadKind.VIDEO, f"{path.name}, {width:.0f} x {height:.0f} pixels, {length}")


def _inspect_bag(folder: Path, bags: list[Path]) -> UploadReport:
    """A bag by its topics. One that is compressed as a whole is refused: its size is not known before."""
    packed = [path.name for path in bags if path.suffix.lower() not in (".mcap", ".db3")]
    if packed:
        raise UploadError(f"'{packed[0]}' is compressed as a whole: unpack it before the upload")
    name = bags[0].name if len(bags) == 1 else f"{len(bags)} parts of a bag"
    try:
        with closing(Bag(folder)) as bag:
            counts = {topic.name: count for topic, count in bag.counts.items() if topic.message_type in _IMAGE_TYPES}
    except (BagError, OSError) as error:
        raise UploadError(f"'{name}' cannot be read as a bag: {error}") from error
    if not counts:
        raise UploadError(f"'{name}' has no topic with images")
    topics = tuple(sorted(counts, key=lambda topic: (-counts[topic], topic)))
    open_source(str(folder), topic=topics[0]).close()
    shown = ", ".join(f"{counts[topic]} images on {topic}" for topic in topics)
    return UploadReport(UploadKind.BAG, f"{name}, {shown}", topics)


def _too_large(name: str, folder: UploadFolder, width: int = 0, height: int = 0) -> UploadError:
    size = f" of {width} x {height} pixels" if width else ""
    return UploadError(f"'{name}'{size} is too large: at most {folder.limits.pixels // 10**6} million pixels are taken")

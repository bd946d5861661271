"""Frames of a directory of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from slam3r_ros.geometry.camera import Camera, CameraError
from slam3r_ros.io.image_decoding import ImageError, decode_compressed
from slam3r_ros.io.sources.base import DEFAULT_RATE_HZ, Source, SourceError, rate_of, stamp_at
from slam3r_ros.io.sources.file_order import in_order
from slam3r_ros.io.sources.recorded_time import stamps_grow
from slam3r_ros.io.stamps import stamp_ns_from_text
from slam3r_ros.types import Frame

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".avif"})
UNREAD_SUFFIXES = frozenset(
    {".heic", ".heif", ".hif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".raw"}
)
"""Suffixes of images that OpenCV does not read."""
CONVERT_IMAGES = "convert them, for example with 'mogrify -format jpg' of ImageMagick"
"""The remedy for images of those formats."""
_NAMED_FOLDERS = 5
"""Most folders that a message names."""
_STAMP_FILES = ("timestamps.txt", "poses.txt")
"""Files whose first column has the times of the images, in seconds."""


class ImageDirectorySource(Source):
    """The images of a directory, or of its ``rgb/``, in the natural order of their names (2 before 10).

    With ``intrinsics.txt`` the frames have a camera (scaled where the images have another size of the same shape), and
    images are not turned as their EXIF data asks. With ``timestamps.txt`` or ``poses.txt`` they have its stamps.
    """

    def __init__(self, path: Path, rate_hz: float | None = None) -> None:
        folder = path / "rgb" if images_in(path / "rgb") else path
        self._files = images_in(folder)
        remark = unread_remark(folder)
        if not self._files:
            raise SourceError(
                f"directory '{path}' has no images (known: {' '.join(sorted(IMAGE_SUFFIXES))}) and no rgb/"
                f"{'' if remark is None else f'; {remark}'}{_folders_remark(path)}"
            )
        super().__init__(f"{len(self._files)} images in {path.name}", rate_hz or DEFAULT_RATE_HZ, len(self._files))
        if remark is not None:
            self._report(remark)
        # Beside the images or, where they are in rgb/, beside that.
        places = [folder] if folder == path else [path, folder]
        self._camera = read_intrinsics(places)
        self._stamps = read_stamps(places, len(self._files), self._report)
        if self._stamps is not None and rate_hz is None:
            self.rate_hz = rate_of(self._stamps)

    def _frames(self) -> Iterator[Frame]:
        for index, file in enumerate(self._files):
            stamp_ns = stamp_at(index, self.rate_hz) if self._stamps is None else self._stamps[index]
            try:
                image = decode_compressed(file.read_bytes(), honour_orientation=self._camera is None)
            except (ImageError, OSError) as error:
                self._report(f"{file.name} left out: {error}")
                continue
            frame = self._frame(file.name, stamp_ns, image, self._fitting(self._camera, image, "intrinsics.txt"))
            if frame is not None:
                yield frame


def read_stamps(places: list[Path], count: int, report: Callable[[str], None]) -> list[int] | None:
    """The stamps in nanoseconds of the first ``timestamps.txt`` or ``poses.txt`` in these folders that has `count`.

    None if there is no such file; `report` is told why a file is not used.
    """
    for file in (place / name for name in _STAMP_FILES for place in places):
        if not file.is_file():
            continue
        try:
            stamps = [stamp_ns_from_text(words[0]) for words in lines_of(file)]
        except ValueError as error:
            report(f"{file.name} not used: {error}")
            continue
        if len(stamps) == count and stamps_grow(stamps):
            return stamps
        if len(stamps) == count:
            report(f"{file.name} not used: its stamps do not grow")
            continue
        report(f"{file.name} not used: it has {len(stamps)} stamps for {count} images")
    return None


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder in the natural order of their names; empty if there is no such folder."""
    if not folder.is_dir():
        return []
    files = [
        file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    ]
    return in_order(file for file in files if file.is_file())


def unread_remark(folder: Path) -> str | None:
    """What to say of the images in a folder whose format is not read; None if there are none."""
    if not folder.is_dir():
        return None
    unread = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in UNREAD_SUFFIXES)
    if not unread:
        return None
    kind = Path(unread[0]).suffix[1:].upper()
    return f"{len(unread)} images such as {unread[0]} are passed over: {kind} is not read, {CONVERT_IMAGES}"


def _folders_remark(folder: Path) -> str:
    """The folders below one, at most two levels, that have images, as a remark; empty where none has."""
    below = [place for pattern in ("*", "*/*") for place in sorted(folder.glob(pattern)) if images_in(place)]
    names = [str(place.relative_to(folder)) for place in below[:_NAMED_FOLDERS]]
    more = f" and {len(below) - len(names)} more" if len(below) > len(names) else ""
    return f"; there are images in {', '.join(names)}{more}: give one of these" if names else ""


def lines_of(file: Path) -> list[list[str]]:
    """The words of each line that is neither empty nor a comment; commas separate words too."""
    lines = file.read_text(encoding="utf-8", errors="replace").replace(",", " ").splitlines()
    return [line.split() for line in lines if line.split() and not line.lstrip().startswith("#")]


def read_intrinsics(places: list[Path]) -> Camera | None:
    """The camera of the first folder with an intrinsics.txt, None if none has; raises SourceError for a wrong one."""
    for file in (place / "intrinsics.txt" for place in places):
        if not file.is_file():
            continue
        words = [word for line in lines_of(file) for word in line]
        try:
            fx, fy, cx, cy, width, height = (float(word) for word in words)
            return Camera(int(width), int(height), fx, fy, cx, cy)
        except CameraError as error:
            raise SourceError(f"'{file}': {error}") from error
        except (ValueError, OverflowError) as error:
            raise SourceError(f"'{file}': expected fx fy cx cy width height, got '{' '.join(words)[:80]}'") from error
    return None

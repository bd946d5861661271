"""Images and, as far as they are there, ``depth/``, ``poses.txt``, ``intrinsics.txt``: what ``render`` writes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from slam3r_lab.sequences.readers.layout import Layout, Pose, assemble, nearest_in_time, number_of, numbering_problems
from slam3r_lab.sequences.sequence import ImageSequence, SequenceError
from slam3r_ros.io.files import FileFormatError
from slam3r_ros.io.sources.base import SourceError
from slam3r_ros.io.sources.images import images_in, lines_of, read_intrinsics
from slam3r_ros.io.stamps import stamp_ns_from_text
from slam3r_ros.io.tum import read_trajectory
from slam3r_ros.types import StampedPose

LARGEST_DIFFERENCE_NS = 20_000_000
"""Between an image's stamp and that of its pose, where images have stamps of their own."""


class FolderLayout(Layout):
    """Images in ``rgb/`` or in the folder itself, in the natural order of their names (2 before 10).

    Depth images are found by the name of their image, 16 bit millimetres, 0 = none. The poses of ``poses.txt`` belong
    to the images row by row, or by time where ``timestamps.txt`` has the images' stamps.
    """

    name = "folder"
    files = "rgb/ (or images), depth/, poses.txt, intrinsics.txt"

    def fits(self, folder: Path) -> bool:
        return bool(images_in(folder / "rgb") or images_in(folder))

    def read(self, folder: Path) -> ImageSequence:
        images = images_in(folder / "rgb") or images_in(folder)
        if not images:
            raise SequenceError(f"sequence '{folder}': no images in rgb/ or in the folder itself")
        problems = numbering_problems(images)
        rows = _read_poses(folder / "poses.txt", problems)
        stamps = _read_stamps(folder / "timestamps.txt", len(images), problems)
        if stamps is not None:
            poses = _by_time(stamps, rows, problems)
        else:
            poses = _by_row(images, rows, problems)
            stamps = [row.stamp_ns for row in rows] if len(rows) == len(images) else None
            if stamps and any(b <= a for a, b in pairwise(stamps)):
                problems.append("poses.txt: stamps do not increase, so they are not used")
                stamps = None
        try:
            camera = read_intrinsics([folder])
        except SourceError as error:
            camera = None
            problems.append(str(error))
        depths = _matching_depths(images, images_in(folder / "depth"), problems)
        return assemble(self.name, folder, images, depths, poses, camera=camera, stamps_ns=stamps, problems=problems)


def _read_poses(file: Path, problems: list[str]) -> list[StampedPose]:
    """The rows in the order of time."""
    if not file.is_file():
        return []
    try:
        rows = read_trajectory(file)
    except FileFormatError as error:
        problems.append(str(error))
        return []
    in_order = sorted(rows, key=lambda row: row.stamp_ns)
    if any(a is not b for a, b in zip(rows, in_order, strict=True)):
        problems.append(f"{file.name} was not in the order of time: sorted")
    return in_order


def _read_stamps(file: Path, image_count: int, problems: list[str]) -> list[int] | None:
    """One increasing stamp an image, or None."""
    if not file.is_file():
        return None
    try:
        stamps = [stamp_ns_from_text(words[0]) for words in lines_of(file)]
    except ValueError as error:
        problems.append(f"{file.name} not used: {error}")
        return None
    if len(stamps) != image_count:
        problems.append(f"{file.name} not used: it has {len(stamps)} stamps for {image_count} images")
        return None
    if any(b <= a for a, b in pairwise(stamps)):
        problems.append(f"{file.name} not used: its stamps do not increase")
        return None
    return stamps


def _by_time(stamps: list[int], rows: list[StampedPose], problems: list[str]) -> list[Pose | None]:
    positions = nearest_in_time(stamps, [row.stamp_ns for row in rows], LARGEST_DIFFERENCE_NS)
    if rows and all(position is None for position in positions):
        problems.append(
            f"stamps do not match: timestamps.txt begins at {stamps[0] / 1e9:.3f} s, "
            f"poses.txt at {rows[0].stamp_ns / 1e9:.3f} s, and none are within {LARGEST_DIFFERENCE_NS / 1e6:.0f} ms"
        )
    return [None if position is None else rows[position].T_world_camera for position in positions]


def _by_row(images: list[Path], rows: list[StampedPose], problems: list[str]) -> list[Pose | None]:
    """Row i belongs to image i; with more rows than images and gaps in the numbering, to the image of that number."""
    numbers = [number_of(image) for image in images]
    if rows and len(rows) != len(images):
        problems.append(f"poses.txt has {len(rows)} poses for {len(images)} images")
    if len(rows) > len(images) and None not in numbers and max(n for n in numbers if n is not None) < len(rows):
        return [rows[number].T_world_camera for number in numbers if number is not None]
    return [rows[position].T_world_camera if position < len(rows) else None for position in range(len(images))]


def _matching_depths(images: list[Path], depths: list[Path], problems: list[str]) -> list[Path | None]:
    by_name = {depth.stem: depth for depth in depths}
    matching = [by_name.get(image.stem) for image in images]
    if depths and not any(matching):
        if len(depths) == len(images):
            problems.append("depth images are not named as the images: taken in order")
            return list(depths)
        problems.append(f"depth images not used: {len(depths)} for {len(images)} images, none of the same name")
    return matching

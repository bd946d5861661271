"""What is inside a map file, in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.map_file.schema import VERSION

_PARTS = {
    "images": "SELECT TOTAL(LENGTH(image)) FROM keyframe_data",
    "depths": "SELECT TOTAL(LENGTH(depth)) FROM keyframe_data",
    "confidences": "SELECT TOTAL(LENGTH(confidence)) FROM keyframe_data",
    "points": "SELECT (SELECT TOTAL(LENGTH(data)) FROM point_data) + (SELECT TOTAL(LENGTH(pixels)) FROM map_pixels)",
    "places": "SELECT TOTAL(LENGTH(data)) FROM place_data",
    "trajectory": "SELECT TOTAL(LENGTH(poses)) FROM trajectory",
}
"""Queries for the bytes of the parts of a file, by their names."""
_DATES_BEGIN_NS = 10**18
"""Stamp, in nanoseconds, from which on stamps are taken for times of day (2001), and not for those of a video."""


@dataclass(frozen=True, slots=True)
class MapFileSummary:
    """What is inside a map file."""

    version: int
    """Version of its schema."""
    is_closed: bool
    """Whether it was closed as it should be; not while it is written, or after the process was killed."""
    file_bytes: int
    """Size of the file, with the write-ahead log beside it."""
    part_bytes: dict[str, int]
    """Bytes of each part."""
    keyframe_count: int
    """Number of keyframes."""
    pose_count: int
    """Number of poses in the trajectory."""
    point_count: int
    """Number of points that were added to the map, before those that share a voxel are filtered."""
    loop_count: int
    """Number of pairs of places that closed loops join."""
    stamps_ns: tuple[int, int] | None
    """Stamps of the first and the last keyframe, integer nanoseconds; None without keyframes."""
    image_size: tuple[int, int] | None
    """Height and width of the first keyframe's image, pixels."""
    camera_size: tuple[int, int] | None
    """Height and width of the image that the camera sent."""
    has_camera_info: bool
    """Whether the camera's intrinsics were known."""
    facts: MapFacts
    """Weights and settings."""
    scale: StoredScale
    """How long a scene unit is."""

    def lines(self) -> list[str]:
        """The summary as lines of text: a name and what it is."""
        state = "yes" if self.is_closed else "no: it is being written, or its process was killed"
        parts = ", ".join(f"{name} {_size(count)}" for name, count in self.part_bytes.items())
        per_keyframe = f", {_size(self.file_bytes / self.keyframe_count)} a keyframe" if self.keyframe_count else ""
        scale = "unknown; lengths are scene units"
        if self.scale.metres_per_unit:
            sigma = f" +- {self.scale.log_sigma:.1%}" if self.scale.log_sigma else ""
            scale = f"{self.scale.metres_per_unit:g} m per scene unit{sigma}, by {self.scale.source}"
        weights = f"{self.facts.weights or 'unknown'} ({self.facts.weights_hash[:12] or 'not from files'})"
        rows = [
            ("schema", f"version {self.version}"),
            ("closed cleanly", state),
            ("keyframes", f"{self.keyframe_count}{self._times()}"),
            ("images", self._images()),
            ("trajectory", f"{self.pose_count} poses"),
            ("points", f"{self.point_count} added to the map"),
            ("loops", f"{self.loop_count}"),
            ("scale", scale),
            ("weights", weights),
            ("size", f"{_size(self.file_bytes)}{per_keyframe} ({parts})"),
        ]
        return [f"{name:<15} {text}" for name, text in rows]

    def _times(self) -> str:
        if self.stamps_ns is None:
            return ""
        first, last = self.stamps_ns
        begin = datetime.fromtimestamp(first * 1e-9, timezone.utc).strftime(" from %Y-%m-%d %H:%M:%S UTC")
        return f" over {(last - first) * 1e-9:.1f} s{begin if first > _DATES_BEGIN_NS else ''}"

    def _images(self) -> str:
        if self.image_size is None or self.camera_size is None:
            return "none"
        (height, width), (full_height, full_width) = self.image_size, self.camera_size
        known = "with camera_info" if self.has_camera_info else "without camera_info"
        return f"{width} x {height}, from a camera of {full_width} x {full_height} {known}"


def summarise(file: MapFile) -> MapFileSummary:
    """The summary of an open map file; raises DamagedMapFileError where it cannot be read."""
    meta, ids = file.meta(), file.keyframe_ids()
    first = file.keyframe(ids[0]) if ids else None
    (oldest, newest) = file.rows("SELECT MIN(stamp_ns), MAX(stamp_ns) FROM keyframes")[0]
    log = file.path.with_name(f"{file.path.name}-wal")
    return MapFileSummary(
        version=int(file.rows("PRAGMA user_version")[0][0]) or VERSION,
        is_closed=bool(meta.get("closed", False)),
        file_bytes=file.path.stat().st_size + (log.stat().st_size if log.exists() else 0),
        part_bytes={name: int(file.rows(query)[0][0]) for name, query in _PARTS.items()},
        keyframe_count=len(ids),
        pose_count=len(file.trajectory()),
        point_count=sum(
            int(file.rows(f"SELECT TOTAL(count) FROM {table}")[0][0]) for table in ("points", "map_pixels")
        ),
        loop_count=int(file.rows("SELECT COUNT(*) FROM loops")[0][0]),
        stamps_ns=(oldest, newest) if ids else None,
        image_size=None if first is None else (first.image.shape[0], first.image.shape[1]),
        camera_size=None if first is None else first.header.size,
        has_camera_info=first is not None and first.header.camera is not None,
        facts=file.facts(),
        scale=file.scale(),
    )


def _size(count: float) -> str:
    """Bytes in words."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"

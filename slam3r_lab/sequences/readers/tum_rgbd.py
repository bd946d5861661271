"""TUM RGB-D: ``rgb.txt``, ``depth.txt``, ``groundtruth.txt``, associated by time (Sturm et al. 2012)."""

from __future__ import annotations

from pathlib import Path

from slam3r_lab.sequences.readers.layout import Layout, assemble, nearest_in_time
from slam3r_lab.sequences.sequence import DepthFormat, ImageSequence, SequenceError
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.io.files import FileFormatError
from slam3r_ros.io.sources.base import SourceError
from slam3r_ros.io.sources.images import lines_of, read_intrinsics
from slam3r_ros.io.stamps import stamp_ns_from_text
from slam3r_ros.io.tum import read_trajectory

LARGEST_DIFFERENCE_NS = 20_000_000
"""Between stamps that belong together: 0.02 s, as the data set's own tools."""
DEPTH_FORMAT = DepthFormat(units_per_metre=5000.0)
# The calibration of the data set's page, colour cameras, plumb bob.
_CAMERAS = {
    "freiburg1": Camera(
        640, 480, 517.306408, 516.469215, 318.643040, 255.313989,
        "plumb_bob", (0.262383, -0.953104, -0.005358, 0.002628, 1.163314),
    ),
    "freiburg2": Camera(
        640, 480, 520.908620, 521.007327, 325.141442, 249.701764,
        "plumb_bob", (0.231222, -0.784899, -0.003257, -0.000105, 0.917205),
    ),
    "freiburg3": Camera(640, 480, 535.433105, 539.212524, 320.106653, 247.632132),
}  # fmt: skip


class TumLayout(Layout):
    """The layout of the TUM RGB-D benchmark; intrinsics by the folder's name, or those of ``intrinsics.txt``."""

    name = "tum-rgbd"
    files = "rgb.txt, depth.txt, groundtruth.txt"

    def fits(self, folder: Path) -> bool:
        return (folder / "rgb.txt").is_file()

    def read(self, folder: Path) -> ImageSequence:
        problems: list[str] = []
        listed = sorted(_listed(folder, "rgb.txt", problems))
        present = [(stamp, path) for stamp, path in listed if path.is_file()]
        if not present:
            raise SequenceError(f"sequence '{folder}': none of the {len(listed)} images of rgb.txt is there")
        if len(present) < len(listed):
            problems.append(f"rgb.txt: {len(listed) - len(present)} of {len(listed)} images are not there")
        unique = dict(reversed(present))
        stamps = sorted(unique)
        if len(stamps) < len(present):
            problems.append(f"rgb.txt: {len(present) - len(stamps)} images have the stamp of another and are left out")
        depth_rows = [(stamp, path) for stamp, path in _listed(folder, "depth.txt", problems) if path.is_file()]
        depths = nearest_in_time(stamps, [stamp for stamp, _ in depth_rows], LARGEST_DIFFERENCE_NS)
        truth = folder / "groundtruth.txt"
        try:
            poses = read_trajectory(truth) if truth.is_file() else []
        except FileFormatError as error:
            problems.append(str(error))
            poses = []
        matching = nearest_in_time(stamps, [pose.stamp_ns for pose in poses], LARGEST_DIFFERENCE_NS)
        if poses and not any(position is not None for position in matching):
            problems.append(
                f"stamps do not match: no pose of groundtruth.txt is within {LARGEST_DIFFERENCE_NS / 1e6:.0f} ms "
                "of an image"
            )
        return assemble(
            self.name,
            folder,
            [unique[stamp] for stamp in stamps],
            [None if position is None else depth_rows[position][1] for position in depths],
            [None if position is None else poses[position].T_world_camera for position in matching],
            camera=_camera(folder, problems),
            stamps_ns=stamps,
            depth_format=DEPTH_FORMAT,
            problems=problems,
        )


def _listed(folder: Path, name: str, problems: list[str]) -> list[tuple[int, Path]]:
    """Stamp and file of each line; wrong lines are named and left out."""
    file = folder / name
    if not file.is_file():
        return []
    rows = []
    for words in lines_of(file):
        try:
            stamp_ns = stamp_ns_from_text(words[0])
        except ValueError as error:
            problems.append(f"{name}: a line left out: {error}")
            continue
        if len(words) < 2:
            problems.append(f"{name}: a line left out: expected a stamp and a file, got '{words[0]}'")
            continue
        rows.append((stamp_ns, folder / words[1]))
    return rows


def _camera(folder: Path, problems: list[str]) -> Camera | None:
    try:
        camera = read_intrinsics([folder])
    except SourceError as error:
        problems.append(str(error))
        camera = None
    if camera is not None:
        return camera
    return next((camera for name, camera in _CAMERAS.items() if name in str(folder.resolve().name)), None)

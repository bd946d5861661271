"""Saving what the engine has mapped."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slam3r_ros.engine.slam import Slam
from slam3r_ros.io.files import OutputError, make_writable, replacing_together
from slam3r_ros.io.map_axes import points_in_map, trajectory_in_map
from slam3r_ros.io.pcd import dump_pcd
from slam3r_ros.io.ply import dump_ply
from slam3r_ros.io.tum import dump_trajectory

MAP_NAME = "map.ply"
"""The name of the map's file in a folder."""
TRAJECTORY_NAME = "trajectory.tum"
"""The name of the trajectory's file in a folder."""
_WRITERS = {".ply": dump_ply, ".pcd": dump_pcd}
"""What writes a map's file, by the suffix of its name."""
MAP_FILE_SUFFIX = ".slam3r"
"""The suffix of a map file, which `slam3r_ros.map_file` writes; its points are written beside it as .ply."""
_OTHER_MAP_SUFFIXES = frozenset(
    {".tum", ".txt", ".xyz", ".pts", ".ptx", ".las", ".laz", ".e57", ".obj", ".stl", ".glb"}
)
"""Suffixes that name a file for sure, of formats that are not written."""


class NothingMappedError(OutputError):
    """There is no map that could be saved; what was saved before stays as it is."""


@dataclass(frozen=True, slots=True)
class SavedMap:
    """What was written where."""

    map_path: Path
    """The file of the points."""
    trajectory_path: Path
    """The file of the camera's poses."""
    point_count: int
    """The number of points in the map's file, at least 1."""
    pose_count: int
    """The number of poses in the trajectory's file."""
    map_file_path: Path | None = None
    """The map file that was written beside them; None where none was."""


def save_map(slam: Slam, path: str | Path, metres_per_unit: float = 0.0) -> SavedMap:
    """Write map and trajectory, in map axes, where `map_files` says.

    Lengths are metres where ``metres_per_unit`` of the scene is known, scene units where it is 0. Folders are made;
    both files replace earlier ones together, when both are complete. Raises NothingMappedError, and OutputError when
    something cannot be written.
    """
    unit, lengths = (metres_per_unit, "metres") if metres_per_unit else (1.0, "scene units")
    points, trajectory = points_in_map(slam.map_points(), unit), trajectory_in_map(slam.trajectory(), unit)
    map_path, trajectory_path = map_files(path)
    if not len(points):
        kept = "stays as it is" if os.path.exists(map_path) else "is not written"
        raise NothingMappedError(f"nothing is mapped: '{map_path}' {kept}")
    prepare_map_files(path)
    with replacing_together(map_path, trajectory_path) as (map_file, trajectory_file):
        _WRITERS[map_path.suffix.lower()](map_file, points, lengths)
        dump_trajectory(trajectory_file, trajectory)
    return SavedMap(map_path, trajectory_path, len(points), len(trajectory))


def map_files(path: str | Path) -> tuple[Path, Path]:
    """Where `save_map` puts map and trajectory: ``map.ply`` and ``trajectory.tum`` in the folder ``path``, or the file
    ``NAME.ply`` or ``NAME.pcd`` and ``NAME.tum`` beside it; for ``NAME.slam3r`` ``NAME.ply`` and ``NAME.tum``.

    Raises OutputError for a file of another format and for the home of a user that there is not.
    """
    try:
        target = Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise OutputError(f"cannot write '{path}': {error}") from error
    suffix = target.suffix.lower()
    if os.path.isdir(target):
        return target / MAP_NAME, target / TRAJECTORY_NAME
    if suffix in _WRITERS:
        return target, target.with_suffix(".tum")
    if suffix == MAP_FILE_SUFFIX:
        return target.with_suffix(".ply"), target.with_suffix(".tum")
    if suffix in _OTHER_MAP_SUFFIXES:
        raise OutputError(f"cannot write '{path}': a map is saved as .ply, .pcd or .slam3r, or into a folder")
    return target / MAP_NAME, target / TRAJECTORY_NAME


def map_file_beside(path: str | Path) -> Path:
    """The map file beside the files of `map_files`: ``map.slam3r`` in a folder, or ``NAME.slam3r``."""
    return map_files(path)[0].with_suffix(MAP_FILE_SUFFIX)


def check_map_files(path: str | Path) -> None:
    """Try whether both files of `map_files` could be written, and leave nothing behind; raises OutputError."""
    for file in map_files(path):
        missing = [folder for folder in (file.parent, *file.parent.parents) if not folder.exists()]
        try:
            make_writable(file.parent)
        finally:
            for folder in missing:
                with suppress(OSError):  # it was not made, or somebody has put something there
                    folder.rmdir()
        if os.path.isdir(file):
            raise OutputError(f"cannot write '{file}': it is a folder")


def prepare_map_files(path: str | Path) -> None:
    """Make the folder that `map_files` names, and try whether both files can be written; raises OutputError."""
    for file in map_files(path):
        make_writable(file.parent)
        if os.path.isdir(file):
            raise OutputError(f"cannot write '{file}': it is a folder")

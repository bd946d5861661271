"""Saving what the engine has mapped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slam3r_ros.engine.slam import Slam
from slam3r_ros.io.files import OutputError, make_writable
from slam3r_ros.io.map_axes import points_in_map, trajectory_in_map
from slam3r_ros.io.ply import write_ply
from slam3r_ros.io.tum import write_trajectory

MAP_NAME = "map.ply"
TRAJECTORY_NAME = "trajectory.tum"


@dataclass(frozen=True, slots=True)
class SavedMap:
    """What was written where."""

    map_path: Path
    trajectory_path: Path
    point_count: int
    pose_count: int


def save_map(slam: Slam, path: str | Path, metres_per_unit: float = 0.0) -> SavedMap:
    """Write map and trajectory, in map axes: into the folder ``path``, or to ``NAME.ply`` and ``NAME.tum`` beside it.

    Lengths are metres where ``metres_per_unit`` of the scene is known, scene units where it is 0.
    Folders are made. Raises OutputError when something cannot be written.
    """
    map_path, trajectory_path = map_files(path)
    make_writable(map_path.parent)
    unit, lengths = (metres_per_unit, "metres") if metres_per_unit else (1.0, "scene units")
    points, trajectory = points_in_map(slam.map_points(), unit), trajectory_in_map(slam.trajectory(), unit)
    write_ply(map_path, points, lengths)
    write_trajectory(trajectory_path, trajectory)
    return SavedMap(map_path, trajectory_path, len(points), len(trajectory))


def map_files(path: str | Path) -> tuple[Path, Path]:
    """Where `save_map` puts map and trajectory; raises OutputError for the home of a user that there is not."""
    try:
        target = Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise OutputError(f"cannot write '{path}': {error}") from error
    if target.suffix == ".ply" and not target.is_dir():
        return target, target.with_suffix(".tum")
    return target / MAP_NAME, target / TRAJECTORY_NAME

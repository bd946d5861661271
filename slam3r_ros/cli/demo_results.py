"""What a demo makes of its map: picture, glTF and film."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from slam3r_ros.cli.figure import draw_map
from slam3r_ros.cli.progress import Progress
from slam3r_ros.cli.trajectory_error import TrueTrajectory
from slam3r_ros.engine.reconstruction import Reconstruction
from slam3r_ros.export.formats import export
from slam3r_ros.film.film import FilmOptions, make_film
from slam3r_ros.film.tuning import TUNING
from slam3r_ros.io.files import FileFormatError, OutputError
from slam3r_ros.io.map_axes import T_map_world
from slam3r_ros.io.ply import read_ply
from slam3r_ros.io.save import MAP_FILE_SUFFIX, MAP_NAME, TRAJECTORY_NAME
from slam3r_ros.io.tum import read_trajectory
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.render.cloud import SplatCloud
from slam3r_ros.render.keyframe_splats import keyframe_splats

PICTURE_NAME, GLB_NAME, FILM_NAME = "map.png", "map.glb", "map.mp4"
MAP_FILE_NAME = f"map{MAP_FILE_SUFFIX}"
FILM = FilmOptions(width=640, height=360, fps=12.0, seconds=8.0)
"""The film of a demo: short and small, so that it takes a few seconds."""


@dataclass(slots=True)
class DemoResults:
    """What was made, how long it took, and what could not be made."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds of each step, by its name."""
    problems: list[str] = field(default_factory=list)
    """Why something was not made, a sentence each."""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A step, whose problem, if it has one, ends nothing else."""
        started_s = time.monotonic()
        try:
            yield
        except (OutputError, FileFormatError) as error:
            self.problems.append(f"no {name}: {error}")
        else:
            self.seconds[name] = time.monotonic() - started_s

    def text(self) -> str:
        """The steps and their times, for people."""
        return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())


def set_former_map_aside(out: Path) -> None:
    """Rename the map file of an earlier demo, since the node would go on from it; the one before that goes."""
    former = out / MAP_FILE_NAME
    if former.is_file():
        former.replace(former.with_stem("former_map"))


def make_results(out: Path, title: str, truth: TrueTrajectory | None) -> DemoResults:
    """Draw the picture, and make glTF and film of the map file where there is one, in the folder of the results.

    Raises OutputError where the picture cannot be written, and FileFormatError where the map cannot be read.
    """
    results, trajectory = DemoResults(), read_trajectory(out / TRAJECTORY_NAME)
    if not os.path.isfile(out / MAP_FILE_NAME):
        cloud = SplatCloud.of_map(read_ply(out / MAP_NAME))
        draw_map(out / PICTURE_NAME, cloud, trajectory, title, truth)
        results.problems.append(f"no glTF and no film: the node has left no {MAP_FILE_NAME}")
        return results
    with MapFile(out / MAP_FILE_NAME) as file:
        reconstruction = file.reconstruction()
        with results.step("picture"):
            draw_map(out / PICTURE_NAME, splats_in_map(reconstruction), trajectory, title, truth)
        with results.step("glTF"):
            export(reconstruction, "glb", out / GLB_NAME)
        with results.step("film"), Progress("film", None, "picture") as progress:

            def show(done: int, total: int) -> bool:
                progress.total = total
                progress.update(done)
                return True

            make_film(reconstruction, out / FILM_NAME, FILM, show)
    return results


def splats_in_map(reconstruction: Reconstruction) -> SplatCloud:
    """The points of all keyframes in map axes, in metres where these are known."""
    cloud, _ = keyframe_splats(reconstruction.keyframes, most_points=TUNING.most_points)
    unit = np.float32(reconstruction.metres_per_unit or 1.0)
    cloud = cloud.rotated(T_map_world[:3, :3])
    return replace(cloud, points=cloud.points * unit, spacing=cloud.spacing * unit)

"""Replica as rendered for iMAP: ``results/frameNNNNNN.jpg``, ``results/depthNNNNNN.png``, ``traj.txt``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from slam3r_lab.sequences.readers.layout import Layout, Pose, assemble, number_of, numbering_problems
from slam3r_lab.sequences.sequence import DepthFormat, ImageSequence, SequenceError
from slam3r_ros.geometry.camera import Camera, CameraError
from slam3r_ros.io.sources.images import images_in, lines_of

CAMERA = Camera(1200, 680, 600.0, 600.0, 599.5, 339.5)
UNITS_PER_METRE = 6553.5


class ReplicaLayout(Layout):
    """One scene's folder; camera and depth scale from ``cam_params.json``, there or beside it, else the usual ones."""

    name = "replica"
    files = "results/frameNNNNNN.jpg, results/depthNNNNNN.png, traj.txt"

    def fits(self, folder: Path) -> bool:
        return next((folder / "results").glob("frame*.*"), None) is not None

    def read(self, folder: Path) -> ImageSequence:
        files = images_in(folder / "results")
        images = [path for path in files if path.name.startswith("frame")]
        if not images:
            raise SequenceError(f"sequence '{folder}': no results/frameNNNNNN.jpg")
        problems = numbering_problems(images)
        by_number = {number_of(path): path for path in files if path.name.startswith("depth")}
        camera, units_per_metre = _read_camera([folder, folder.parent], problems)
        return assemble(
            self.name,
            folder,
            images,
            [by_number.get(number_of(image)) for image in images],
            _read_poses(folder / "traj.txt", images, problems),
            camera=camera,
            depth_format=DepthFormat(units_per_metre),
            problems=problems,
        )


def _read_poses(file: Path, images: list[Path], problems: list[str]) -> list[Pose | None]:
    """Row n of 16 numbers, T_world_camera row by row, belongs to the image of number n."""
    if not file.is_file():
        return [None] * len(images)
    try:
        rows = [np.array([float(word) for word in words]).reshape(4, 4) for words in lines_of(file)]
    except ValueError as error:
        problems.append(f"{file.name} not used: expected 16 numbers a line: {error}")
        return [None] * len(images)
    if len(rows) != len(images):
        problems.append(f"{file.name} has {len(rows)} poses for {len(images)} images")
    numbers = [number_of(image) for image in images]
    return [rows[n] if n is not None and n < len(rows) else None for n in numbers]


def _read_camera(places: list[Path], problems: list[str]) -> tuple[Camera, float]:
    file = next((place / "cam_params.json" for place in places if (place / "cam_params.json").is_file()), None)
    if file is None:
        return CAMERA, UNITS_PER_METRE
    try:
        values = json.loads(file.read_text())["camera"]
        fx, fy, cx, cy = (float(values[name]) for name in ("fx", "fy", "cx", "cy"))
        return Camera(int(values["w"]), int(values["h"]), fx, fy, cx, cy), float(values["scale"])
    except (ValueError, KeyError, TypeError, CameraError) as error:
        problems.append(f"{file.name} not used, Replica's usual camera taken: {error!r}")
        return CAMERA, UNITS_PER_METRE

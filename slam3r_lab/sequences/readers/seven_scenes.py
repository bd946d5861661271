"""7-Scenes: ``frame-NNNNNN.color.png``, ``.depth.png``, ``.pose.txt`` (Shotton et al. 2013)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from slam3r_lab.sequences.readers.layout import Layout, Pose, assemble, numbering_problems
from slam3r_lab.sequences.sequence import DepthFormat, ImageSequence, SequenceError
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.io.sources.base import SourceError
from slam3r_ros.io.sources.images import images_in, read_intrinsics

CAMERA = Camera(640, 480, 585.0, 585.0, 320.0, 240.0)
"""The data set's page gives these for depth and none for colour; both are taken as one camera, as usual."""
DEPTH_FORMAT = DepthFormat(units_per_metre=1000.0, no_depth=(0, 65535))


class SevenScenesLayout(Layout):
    """The layout of the 7-Scenes data set, one ``seq-NN`` folder; ``intrinsics.txt`` replaces its usual camera."""

    name = "7-scenes"
    files = "frame-NNNNNN.color.png, .depth.png, .pose.txt (one seq-NN)"

    def fits(self, folder: Path) -> bool:
        return next(folder.glob("frame-*.color.*"), None) is not None

    def read(self, folder: Path) -> ImageSequence:
        images = [path for path in images_in(folder) if path.name.split(".")[1:2] == ["color"]]
        if not images:
            raise SequenceError(f"sequence '{folder}': no frame-NNNNNN.color.png")
        problems = numbering_problems(images)
        depths, poses = [], []
        for image in images:
            depth = folder / f"{image.name.split('.')[0]}.depth.png"
            depths.append(depth if depth.is_file() else None)
            poses.append(_read_pose(folder / f"{image.name.split('.')[0]}.pose.txt", problems))
        try:
            camera = read_intrinsics([folder, folder.parent]) or CAMERA
        except SourceError as error:
            problems.append(str(error))
            camera = CAMERA
        sequence = assemble(
            self.name, folder, images, depths, poses, camera=camera, depth_format=DEPTH_FORMAT, problems=problems
        )
        return sequence.renamed(f"{folder.resolve().parent.name}/{folder.resolve().name}")


def _read_pose(file: Path, problems: list[str]) -> Pose | None:
    if not file.is_file():
        return None
    try:
        values = [float(word) for word in file.read_text(encoding="utf-8", errors="replace").split()]
    except ValueError as error:
        problems.append(f"{file.name} not used: {error}")
        return None
    if len(values) != 16:
        problems.append(f"{file.name} not used: expected 16 numbers, got {len(values)}")
        return None
    return np.array(values).reshape(4, 4)

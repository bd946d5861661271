"""The formats by name, and the function that writes one of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from slam3r_ros.engine.reconstruction import Reconstruction
from slam3r_ros.export.colmap import write_colmap
from slam3r_ros.export.glb import dump_glb
from slam3r_ros.export.npz import dump_npz
from slam3r_ros.export.scene import ExportOptions, ExportScene
from slam3r_ros.io.files import make_writable, replacing
from slam3r_ros.io.pcd import dump_pcd
from slam3r_ros.io.ply import dump_ply
from slam3r_ros.io.save import NothingMappedError
from slam3r_ros.io.tum import dump_trajectory


@dataclass(frozen=True, slots=True)
class Format:
    """A format in which a reconstruction can be exported."""

    suffix: str
    """What the name of the file ends with; empty for a folder."""
    content: str
    """What is in it, half a sentence for people."""
    dump: Callable[[BinaryIO, ExportScene], None] | None
    """Writes the file; None for the folder of COLMAP."""
    needs_points: bool = True
    """Whether there is nothing to write without points; else without poses."""


FORMATS = {
    "glb": Format(".glb", "points, cameras and path as binary glTF, y up", dump_glb),
    "ply": Format(
        ".ply", "points with colour and confidence", lambda file, scene: dump_ply(file, scene.points, scene.lengths)
    ),
    "pcd": Format(
        ".pcd", "the same for the Point Cloud Library", lambda file, scene: dump_pcd(file, scene.points, scene.lengths)
    ),
    "colmap": Format("", "a folder with images/ and COLMAP's text model in sparse/0/", None),
    "tum": Format(
        ".tum", "the trajectory", lambda file, scene: dump_trajectory(file, scene.trajectory), needs_points=False
    ),
    "npz": Format(".npz", "everything as arrays for NumPy", dump_npz),
}
"""The formats by name, in the order in which they are offered."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    path: Path
    """The file or the folder."""
    count: int
    """Number of points in it, of poses in a trajectory."""
    lengths: str
    """The unit of all lengths."""

    @property
    def what(self) -> str:
        """What was counted."""
        return "poses" if self.path.suffix == FORMATS["tum"].suffix else "points"


def export(
    reconstruction: Reconstruction, format_name: str, path: Path, options: ExportOptions | None = None
) -> Exported:
    """Write a reconstruction to a file or, for COLMAP, into a folder, which replaces an earlier one only when it is
    complete. Folders above it are made.

    Raises NothingMappedError when there is nothing to write, and OutputError when it cannot be written.
    """
    chosen, scene = FORMATS[format_name], ExportScene.of(reconstruction, options)
    count = len(scene.points) if chosen.needs_points else len(scene.trajectory)
    if not count or (chosen.dump is None and not len(scene.keyframes)):
        missing = "points" if chosen.needs_points and not count else "poses" if not count else "keyframes with images"
        kept = "stays as it is" if os.path.exists(path) else "is not written"
        raise NothingMappedError(f"no {missing} to export: '{path}' {kept}")
    make_writable(path.absolute().parent)
    if chosen.dump is None:
        count = write_colmap(path, scene)
    else:
        with replacing(path) as file:
            chosen.dump(file, scene)
    return Exported(path, count, scene.lengths)

"""Maps as files of the Point Cloud Library (PCD 0.7): binary, x y z, colour and confidence."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from slam3r_ros.types import MapPoints

_POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4"), ("confidence", "<f4")])


def dump_pcd(file: BinaryIO, points: MapPoints, lengths: str = "scene units") -> None:
    """Write a map as binary PCD: float x y z, rgb packed into the bits of a float as PCL has it, float confidence.

    ``lengths`` is the unit of x y z that a comment in the file names.
    """
    rows = np.empty(len(points), dtype=_POINT)
    rows["x"], rows["y"], rows["z"] = points.points_world.T
    red, green, blue = points.colours.T.astype(np.uint32)
    rows["rgb"] = red << 16 | green << 8 | blue
    rows["confidence"] = points.confidence
    header = ["# .PCD v0.7 - Point Cloud Data file format", f"# slam3r_ros map, lengths in {lengths}", "VERSION 0.7"]
    header += ["FIELDS x y z rgb confidence", "SIZE 4 4 4 4 4", "TYPE F F F F F", "COUNT 1 1 1 1 1"]
    header += [f"WIDTH {len(points)}", "HEIGHT 1", "VIEWPOINT 0 0 0 1 0 0 0", f"POINTS {len(points)}", "DATA binary"]
    file.write(("\n".join(header) + "\n").encode("ascii"))
    file.write(rows.tobytes())

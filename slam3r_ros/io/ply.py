"""Maps as PLY files: binary, x y z, colour and confidence."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from slam3r_ros.io.files import FileFormatError, replacing
from slam3r_ros.types import MapPoints

_TYPES = {"char": "i1", "uchar": "u1", "short": "<i2", "ushort": "<u2", "int": "<i4", "uint": "<u4"}
_TYPES |= {"float": "<f4", "double": "<f8", "int8": "i1", "uint8": "u1", "int16": "<i2", "uint16": "<u2"}
_TYPES |= {"int32": "<i4", "uint32": "<u4", "float32": "<f4", "float64": "<f8"}

"""NumPy's types of the names that PLY has for them."""

_PROPERTIES = {"x": "float", "y": "float", "z": "float", "red": "uchar", "green": "uchar", "blue": "uchar"}
_PROPERTIES |= {"confidence": "float"}
"""The properties of a vertex as they are written, and their types."""
_HEADER_LIMIT = 65536
"""A file whose header has no end within so many bytes is no PLY file."""


def write_ply(path: str | Path, points: MapPoints, lengths: str = "scene units") -> None:
    """Write a map as `dump_ply` does into a file that replaces an existing one only when it is complete.

    Raises OutputError when it cannot be written.
    """
    with replacing(path) as file:
        dump_ply(file, points, lengths)


def dump_ply(file: BinaryIO, points: MapPoints, lengths: str = "scene units") -> None:
    """Write a map as binary little endian PLY: float x y z, uchar red green blue, float confidence.

    ``lengths`` is the unit of x y z that a comment in the file names.
    """
    vertices = np.empty(len(points), dtype=[(name, _TYPES[kind]) for name, kind in _PROPERTIES.items()])
    vertices["x"], vertices["y"], vertices["z"] = points.points_world.T
    vertices["red"], vertices["green"], vertices["blue"] = points.colours.T
    vertices["confidence"] = points.confidence
    header = ["ply", "format binary_little_endian 1.0", f"comment slam3r_ros map, lengths in {lengths}"]
    header += [f"element vertex {len(points)}"]
    header += [f"property {kind} {name}" for name, kind in _PROPERTIES.items()]
    file.write(("\n".join([*header, "end_header"]) + "\n").encode("ascii"))
    file.write(vertices.tobytes())


def read_ply(path: str | Path) -> MapPoints:
    """Read a map that `write_ply` wrote, or any binary little endian PLY whose vertices have the same properties.

    Raises FileNotFoundError, and FileFormatError saying what is wrong with a file that is no such PLY.
    """
    content = Path(path).read_bytes()
    if not content.startswith((b"ply\n", b"ply\r\n")):
        raise FileFormatError(f"cannot read '{path}': not a PLY file")
    end = content.find(b"end_header", 0, _HEADER_LIMIT)
    line_end = content.find(b"\n", end) if end >= 0 else -1
    if line_end < 0:
        raise FileFormatError(f"cannot read '{path}': its PLY header has no end")
    count, dtype = _vertices_of(content[:end].decode("ascii", errors="replace").splitlines(), path)
    data = content[line_end + 1 : line_end + 1 + count * dtype.itemsize]
    needed = count * dtype.itemsize
    if len(data) < needed:
        raise FileFormatError(
            f"cannot read '{path}': {count} vertices take {needed} bytes, the file ends after {len(data)}"
        )
    vertices = np.frombuffer(data, dtype=dtype)
    return MapPoints(
        np.stack([vertices[name].astype(np.float32) for name in ("x", "y", "z")], axis=1),
        np.stack([vertices[name].astype(np.uint8) for name in ("red", "green", "blue")], axis=1),
        vertices["confidence"].astype(np.float32),
    )


def _vertices_of(header: list[str], path: str | Path) -> tuple[int, np.dtype[np.void]]:
    """Number and layout of the vertices, which must be the file's first element."""
    words = [line.split() for line in header if line.split()[:1] not in ([], ["comment"], ["obj_info"])]
    if ["format", "binary_little_endian", "1.0"] not in words:
        raise FileFormatError(f"cannot read '{path}': expected 'format binary_little_endian 1.0'")
    elements = [position for position, line in enumerate(words) if line[0] == "element"]
    if not elements or words[elements[0]][1:2] != ["vertex"] or not words[elements[0]][-1].isdigit():
        raise FileFormatError(f"cannot read '{path}': expected 'element vertex N' as the first element")
    end = elements[1] if len(elements) > 1 else len(words)
    fields: list[tuple[str, str]] = []
    for line in words[elements[0] + 1 : end]:
        if len(line) != 3 or line[0] != "property" or line[1] not in _TYPES:
            raise FileFormatError(f"cannot read '{path}': cannot use the vertex property '{' '.join(line)}'")
        fields.append((line[2], _TYPES[line[1]]))
    missing = [name for name in _PROPERTIES if name not in dict(fields)]
    if missing or len(dict(fields)) < len(fields):
        names = " ".join(name for name, _ in fields)
        raise FileFormatError(f"cannot read '{path}': expected vertices with {' '.join(_PROPERTIES)}, got {names}")
    return int(words[elements[0]][-1]), np.dtype(fields)

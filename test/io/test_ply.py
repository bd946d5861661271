"""Maps to PLY files and back."""

from __future__ import annotations

import numpy as np
import pytest

from slam3r_ros.io.files import FileFormatError, OutputError
from slam3r_ros.io.ply import read_ply, write_ply
from slam3r_ros.types import MapPoints


def some_points(count: int = 50) -> MapPoints:
    rng = np.random.default_rng(count)
    return MapPoints(
        rng.normal(size=(count, 3)).astype(np.float32),
        rng.integers(0, 256, (count, 3), np.uint8),
        rng.uniform(1, 20, count).astype(np.float32),
    )


def assert_same(a: MapPoints, b: MapPoints) -> None:
    assert np.array_equal(a.points_world, b.points_world) and a.points_world.dtype == b.points_world.dtype
    assert np.array_equal(a.colours, b.colours) and a.colours.dtype == b.colours.dtype
    assert np.array_equal(a.confidence, b.confidence) and a.confidence.dtype == b.confidence.dtype


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_round_trip(tmp_path, count):
    write_ply(tmp_path / "map.ply", some_points(count))
    assert_same(read_ply(tmp_path / "map.ply"), some_points(count))


def test_the_file_is_what_other_programs_expect(tmp_path):
    points = some_points(2)
    write_ply(tmp_path / "map.ply", points)
    content = (tmp_path / "map.ply").read_bytes()
    header, data = content.split(b"end_header\n")
    lines = header.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"] and "element vertex 2" in lines
    assert [line.split()[1:] for line in lines if line.startswith("property")] == [
        *(["float", name] for name in "xyz"),
        *(["uchar", name] for name in ("red", "green", "blue")),
        ["float", "confidence"],
    ]
    assert len(data) == 2 * 19
    assert np.array_equal(np.frombuffer(data[19:31], "<f4"), points.points_world[1])
    assert list(data[31:34]) == points.colours[1].tolist()


def test_a_file_from_elsewhere_with_more_in_it(tmp_path):
    layout = np.dtype(
        [("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("nx", "<f4"), ("confidence", "<f4")]
        + [(name, "u1") for name in ("red", "green", "blue", "alpha")]
    )
    kinds = {"<f8": "double", "<f4": "float32", "|u1": "uint8"}
    vertices = np.zeros(3, layout)
    vertices["x"], vertices["blue"], vertices["confidence"] = [1, 2, 3], [4, 5, 6], [7, 8, 9]
    header = "ply\r\nformat binary_little_endian 1.0\r\nobj_info made elsewhere\r\nelement vertex 3\r\n"
    header += "".join(f"property {kinds[layout[n].str]} {n}\r\n" for n in layout.names)
    header += "element face 1\r\nproperty list uchar int vertex_indices\r\nend_header\r\n"
    (tmp_path / "other.ply").write_bytes(header.encode() + vertices.tobytes() + b"\3" + bytes(12))
    points = read_ply(tmp_path / "other.ply")
    assert points.points_world.tolist() == [[1, 0, 0], [2, 0, 0], [3, 0, 0]]
    assert points.colours[:, 2].tolist() == [4, 5, 6] and points.confidence.tolist() == [7, 8, 9]


def test_replaces_an_existing_file_and_leaves_nothing_beside(tmp_path):
    write_ply(tmp_path / "map.ply", some_points(5))
    write_ply(tmp_path / "map.ply", some_points(7))
    assert len(read_ply(tmp_path / "map.ply")) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["map.ply"]


@pytest.mark.parametrize("where", ["nowhere/map.ply", "a_file/map.ply", "a_folder", "x" * 300])
def test_a_place_that_cannot_be_written_is_named(tmp_path, where):
    (tmp_path / "a_file").write_text("here before")
    (tmp_path / "a_folder").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match="cannot write '.*" + where.split("/")[-1]):
        write_ply(tmp_path / where, some_points())
    assert sorted(tmp_path.iterdir()) == before


def test_an_empty_name_is_refused():
    with pytest.raises(OutputError, match="not the name of a file"):
        write_ply("", some_points())


def test_an_error_half_way_leaves_what_was_there(tmp_path):
    write_ply(tmp_path / "map.ply", some_points(5))
    broken = some_points(7)
    with pytest.raises(ValueError):
        write_ply(tmp_path / "map.ply", MapPoints(broken.points_world, broken.colours[:3], broken.confidence))
    assert len(read_ply(tmp_path / "map.ply")) == 5


GOOD = b"ply\nformat binary_little_endian 1.0\nelement vertex 1\n"
COLOURS = b"property uchar red\nproperty uchar green\nproperty uchar blue\n"
XYZ = b"property float x\nproperty float y\nproperty float z\n"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "not a PLY"),
        (b"solid thing", "not a PLY"),
        (GOOD + XYZ, "no end"),
        (b"ply\nformat ascii 1.0\nelement vertex 0\nend_header\n", "binary_little_endian"),
        (b"ply\nformat binary_little_endian 1.0\nend_header\n", "element vertex"),
        (b"ply\nformat binary_little_endian 1.0\nelement vertex many\nend_header\n", "element vertex"),
        (GOOD + XYZ + COLOURS + b"end_header\n" + bytes(50), "confidence"),
        (GOOD + XYZ + b"property list uchar int x\nend_header\n", "cannot use the vertex property"),
        (
            GOOD + XYZ + COLOURS + b"property float confidence\nend_header\n" + bytes(18),
            "19 bytes, the file ends after 18",
        ),
    ],
)
def test_what_is_no_map_is_refused(tmp_path, content, message):
    (tmp_path / "bad.ply").write_bytes(content)
    with pytest.raises(FileFormatError, match=f"bad.ply.*{message}"):
        read_ply(tmp_path / "bad.ply")

"""Binary glTF, as trimesh reads it: axes, colours, cameras and path."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slanted_wall import CAMERA, reconstruction

from slam3r_ros.export.formats import export
from slam3r_ros.export.glb import linear_from_srgb

trimesh = pytest.importorskip("trimesh")


def header_of(path: Path) -> dict[str, Any]:
    """The JSON of a .glb; its layout is that of the glTF specification."""
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    tree: dict[str, Any] = json.loads(data[20 : 20 + size])
    return tree


def test_the_first_camera_looks_along_minus_z_with_y_up(tmp_path: Path) -> None:
    source = reconstruction()
    export(source, "glb", tmp_path / "map.glb")
    scene = trimesh.load(tmp_path / "map.glb")
    cloud = scene.geometry["points"]
    x, y, z = source.points.points_world.T  # x right, y down, z forward
    np.testing.assert_allclose(cloud.vertices, np.stack([x, -y, -z], axis=1), atol=1e-6)
    np.testing.assert_array_equal(cloud.colors[:, :3], linear_from_srgb(source.points.colours))
    assert (cloud.colors[:, 3] == 255).all()


def test_colours_are_linear() -> None:
    assert linear_from_srgb(np.array([0, 10, 128, 188, 255], np.uint8)).tolist() == [0, 1, 55, 128, 255]


def test_path_and_frustums_are_where_the_cameras_were(tmp_path: Path) -> None:
    source = reconstruction(metres_per_unit=2.0)
    export(source, "glb", tmp_path / "map.glb")
    scene = trimesh.load(tmp_path / "map.glb")
    path = scene.geometry["path"].vertices
    ends = np.array([source.trajectory[n].T_world_camera[:3, 3] * [2, -2, -2] for n in (0, -1)])
    np.testing.assert_allclose(path[[0, -1]], ends, atol=1e-6)
    corners = scene.geometry["cameras"].vertices
    for view in source.keyframes:
        centre = view.T_world_camera[:3, 3] * [2, -2, -2]
        assert np.linalg.norm(corners - centre, axis=1).min() < 1e-6


def test_every_keyframe_is_a_gltf_camera(tmp_path: Path) -> None:
    source = reconstruction()
    export(source, "glb", tmp_path / "map.glb")
    tree = header_of(tmp_path / "map.glb")
    nodes = [node for node in tree["nodes"] if "camera" in node]
    assert [node["name"] for node in nodes] == [f"keyframe {view.id}" for view in source.keyframes]
    reached = {child for node in tree["nodes"] for child in node.get("children", [])} | set(tree["scenes"][0]["nodes"])
    assert {tree["nodes"].index(node) for node in nodes} <= reached
    perspective = tree["cameras"][nodes[2]["camera"]]["perspective"]
    assert np.tan(perspective["yfov"] / 2) == pytest.approx(CAMERA.height / 2 / CAMERA.fy)
    T = np.array(nodes[2]["matrix"]).reshape(4, 4).T
    # glTF cameras look along -z, with y up; a point before the camera projects as it does in the keyframe.
    view, point = source.keyframes[2], source.points.points_world[11].astype(np.float64)
    in_gltf = np.linalg.inv(T) @ [*(point * [1, -1, -1]), 1]
    in_optical = np.linalg.inv(view.T_world_camera) @ [*point, 1]
    np.testing.assert_allclose(in_gltf[:3], in_optical[:3] * [1, -1, -1], atol=1e-9)
    assert tree["scenes"][0]["extras"] == {"lengths": "scene units"}


def test_a_cloud_without_keyframes_and_path_is_a_glb_too(tmp_path: Path) -> None:
    export(replace(reconstruction(), keyframes=[], trajectory=[]), "glb", tmp_path / "map.glb")
    assert header_of(tmp_path / "map.glb").get("cameras") is None
    assert len(trimesh.load(tmp_path / "map.glb").geometry["points"].vertices) == 500


def test_many_keyframes_are_thinned(tmp_path: Path) -> None:
    source = reconstruction()
    views = [replace(source.keyframes[n % 4], id=n) for n in range(1000)]
    export(replace(source, keyframes=views), "glb", tmp_path / "map.glb")
    names = [camera["name"] for camera in header_of(tmp_path / "map.glb")["cameras"]]
    assert len(names) == 300 and names[0] == "keyframe 0" and names[-1] == "keyframe 999"

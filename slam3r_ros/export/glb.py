"""Points, cameras and path as a binary glTF (.glb), for Blender, web pages, PowerPoint and most 3D programs.

glTF 2.0 has y up, and its viewers look along -z: the first camera's forward direction is -z, its right x. Lengths are
metres in glTF; where they are not known, scene units stand in their place. Vertex colours are linear in glTF, those of
images are not: they are converted as sRGB (IEC 61966-2-1) has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.export.scene import ExportScene
from slam3r_ros.geometry.frustum import FRUSTUM_EDGES, frustum_corners
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.io.files import OutputError

T_gltf_map: Array = np.array([[0, -1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
"""(4, 4) takes map axes (x forward, y left, z up) to glTF's (x right, y up, z backward); a rotation."""
_T_OPTICAL_GLTF: Array = np.diag([1.0, -1.0, -1.0, 1.0])
"""(4, 4) takes the axes of glTF's cameras (x right, y up, z backward) to optical ones (x right, y down, z forward)."""
_FRUSTUM_COLOUR, _PATH_COLOUR = (66, 133, 244), (255, 45, 85)
"""Red, green and blue of the cameras and of the path."""
_MOST_CAMERAS = 300
"""Of more keyframes, so many are drawn, at equal distances in time."""
_FRUSTUM_SHARE = 0.02
"""Depth of a drawn camera as a share of the diagonal of the box around the middle 96 % of the points."""


def dump_glb(file: BinaryIO, scene: ExportScene) -> None:
    """Write points (POINTS), the cameras' frustums and the path (LINES), and a glTF camera for each drawn keyframe.

    Raises OutputError where trimesh is not installed.
    """
    try:
        import trimesh
    except ModuleNotFoundError as error:
        raise OutputError("glTF needs trimesh: pip install slam3r_ros[export]") from error
    shown = _thinned(scene.keyframes, _MOST_CAMERAS)
    points = _in_gltf(scene.points.points_world)
    colours = np.full((len(points), 4), 255, np.uint8)
    colours[:, :3] = linear_from_srgb(scene.points.colours)
    model = trimesh.Scene()
    model.add_geometry(trimesh.PointCloud(points, colours), geom_name="points", node_name="points")
    low, high = np.percentile(points, [2, 98], axis=0)
    depth = max(_FRUSTUM_SHARE * float(np.linalg.norm(high - low)), 1e-6)
    corners = [_in_gltf(frustum_corners(view.camera, scene.pose(view), depth)) for view in shown]
    if corners:
        lines = [corner[list(edge)] for corner in corners for edge in FRUSTUM_EDGES]
        model.add_geometry(_lines(lines, _FRUSTUM_COLOUR), geom_name="cameras", node_name="cameras")
    positions = np.array([pose.T_world_camera[:3, 3] for pose in scene.trajectory]).reshape(-1, 3)
    if len(positions) > 1:
        model.add_geometry(_lines([_in_gltf(positions)], _PATH_COLOUR), geom_name="path", node_name="path")
    model.metadata.clear()
    model.metadata["lengths"] = scene.lengths

    def add_cameras(tree: dict[str, Any]) -> None:
        cameras = tree.setdefault("cameras", [])
        for view in shown:
            tree["nodes"].append(_camera_node(view, scene, len(cameras)))
            cameras.append(_camera(view))
            tree["scenes"][0]["nodes"].append(len(tree["nodes"]) - 1)

    file.write(trimesh.exchange.gltf.export_glb(model, tree_postprocessor=add_cameras if shown else None))


def linear_from_srgb(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Linear intensities of sRGB values, both from 0 to 255 (IEC 61966-2-1)."""
    values = np.arange(256) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.rint(linear * 255).astype(np.uint8)[colours]


def _in_gltf(points_map: NDArray[np.float32] | Array) -> Array:
    """(N, 3) points of map axes in glTF's."""
    return np.asarray(points_map, np.float64) @ T_gltf_map[:3, :3].T


def _thinned(keyframes: Sequence[KeyframeView], most: int) -> list[KeyframeView]:
    """At most so many keyframes, the first and the last among them."""
    chosen = np.unique(np.linspace(0, len(keyframes) - 1, min(len(keyframes), most)).round().astype(int))
    return [keyframes[index] for index in chosen.tolist()]


def _lines(polylines: Sequence[Array], colour: tuple[int, int, int]) -> Any:
    """A trimesh path of lines of one colour."""
    import trimesh

    rgba = [*linear_from_srgb(np.array(colour, np.uint8)).tolist(), 255]
    lengths = [len(line) for line in polylines]
    begins = np.concatenate([[0], np.cumsum(lengths)])
    entities = [
        trimesh.path.entities.Line(np.arange(begin, begin + length), color=rgba)
        for begin, length in zip(begins, lengths, strict=False)
    ]
    return trimesh.path.Path3D(entities=entities, vertices=np.concatenate(polylines), process=False)


def _camera(view: KeyframeView) -> dict[str, Any]:
    """A glTF camera, which has its principal point in the middle."""
    camera = view.camera
    return {
        "name": f"keyframe {view.id}",
        "type": "perspective",
        "perspective": {
            "yfov": float(2 * np.arctan(camera.height / (2 * camera.fy))),
            "aspectRatio": float(camera.width * camera.fy / (camera.height * camera.fx)),
            "znear": 0.01,
        },
    }


def _camera_node(view: KeyframeView, scene: ExportScene, camera: int) -> dict[str, Any]:
    """Where a glTF camera stands; glTF writes matrices by columns."""
    T = T_gltf_map @ scene.pose(view) @ _T_OPTICAL_GLTF
    return {"name": f"keyframe {view.id}", "camera": camera, "matrix": T.T.ravel().tolist()}

"""Splats from keyframes: every pixel whose depth is known is a point, as wide as its pixel at that distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.render.cloud import SplatCloud
from slam3r_ros.render.tuning import TUNING


def keyframe_splats(
    keyframes: Sequence[KeyframeView], *, most_points: int, least_confidence: float = 0.0
) -> tuple[SplatCloud, NDArray[np.intp]]:
    """The splats of all keyframes in their order, in the world of the engine, and (K + 1,) indices: those of keyframe
    k lie from the k-th to the next.

    Where there are more than about ``most_points``, every keyframe gives only every n-th pixel of each n-th row. Each
    keyframe is read once.
    """
    pixels = len(keyframes) * keyframes[0].depth.size if len(keyframes) else 0  # their sizes hardly differ
    step = max(1, int(np.ceil(np.sqrt(pixels / most_points))))
    clouds = [_splats_of(view, step, least_confidence) for view in keyframes]
    begins = np.concatenate([[0], np.cumsum([len(cloud) for cloud in clouds])]).astype(np.intp)
    return SplatCloud.joined(clouds), begins


def _splats_of(view: KeyframeView, step: int, least_confidence: float) -> SplatCloud:
    """The splats of one keyframe, of every `step`-th pixel."""
    depth = without_flying_pixels(view.depth)
    points = replace(view, depth=depth).points(least_confidence, step)
    chosen = (np.isfinite(depth) & (view.confidence >= least_confidence))[::step, ::step]
    spacing = depth[::step, ::step][chosen] * np.float32(step / view.depth_camera.fx)
    normals = depth_normals(view.depth, view.depth_camera)[::step, ::step][chosen] @ view.T_world_camera[
        :3, :3
    ].T.astype(np.float32)
    return SplatCloud(points.points_world, points.colours, spacing, normals)


def depth_normals(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """(h, w, 3) unit normals towards the camera, in its axes, of the surface of a depth image (h, w); zero where
    they are not known."""
    height, width = depth.shape
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    rays = np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones_like(depth)], axis=2)
    n = TUNING.normal_px
    framed = np.pad(rays.astype(np.float32) * depth[..., None], ((n, n), (n, n), (0, 0)), mode="edge")
    across, down = framed[n:-n, 2 * n :] - framed[n:-n, : -2 * n], framed[2 * n :, n:-n] - framed[: -2 * n, n:-n]
    normals = np.cross(down, across)
    lengths = np.linalg.norm(normals, axis=2, keepdims=True)
    unit = np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0)
    return np.nan_to_num(unit, nan=0.0)


def without_flying_pixels(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) depths, NaN for the pixels at their edges too: these lie on neither of the two surfaces.

    The inverse depth of a plane is linear in the image, however steeply the plane is seen; at an edge it bends.
    """
    inverse = 1 / depth
    framed = np.pad(inverse, 1, mode="reflect", reflect_type="odd")  # goes on straight beyond the image
    across = np.abs(framed[1:-1, 2:] + framed[1:-1, :-2] - 2 * inverse)
    down = np.abs(framed[2:, 1:-1] + framed[:-2, 1:-1] - 2 * inverse)
    is_edge = np.fmax(across, down) > TUNING.flying_bend * inverse  # False beside unknown depths
    return np.where(is_edge, np.float32(np.nan), depth)

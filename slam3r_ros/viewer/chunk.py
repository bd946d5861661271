"""A keyframe as the page draws it: a bounded number of points in its camera's axes, and a small image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.io.map_axes import T_map_world
from slam3r_ros.viewer.pixel_order import spread_order
from slam3r_ros.viewer.tuning import TUNING

_JPEG_QUALITY = 80
"""Quality of the image inside a keyframe's camera, of 100."""


@dataclass(frozen=True, slots=True, eq=False)
class ChunkPoints:
    """Points of a keyframe, in an order of which every beginning covers the whole image. Never written to."""

    camera: NDArray[np.float16]
    """(N, 3) points in the camera's axes, in the unit of the chunk's depths."""
    colours: NDArray[np.uint8]
    """(N, 3) RGB."""
    confidence: NDArray[np.float16]
    """(N,) confidences."""

    def __len__(self) -> int:
        return len(self.camera)

    def first(self, count: int) -> ChunkPoints:
        """The first points, in memory of their own."""
        return ChunkPoints(self.camera[:count].copy(), self.colours[:count].copy(), self.confidence[:count].copy())

    def where(self, kept: NDArray[np.bool_]) -> ChunkPoints:
        """The points for which (N,) ``kept`` is true."""
        return ChunkPoints(self.camera[kept], self.colours[kept], self.confidence[kept])


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """The points of one keyframe and its camera; the unit that is sent to browsers, and moved when a loop closes."""

    id: int
    """Number of the keyframe view."""
    index: int
    """Number of its frame among those that the engine has processed."""
    stamp_ns: int
    """Time at which the image was taken, integer nanoseconds."""
    T_world_camera: NDArray[np.float64]
    """(4, 4): takes camera points to the engine's world, scene units."""
    scale: float
    """Scene units per unit of ``points``: 1 until a closed loop has changed it."""
    vertical_fov_rad: float
    """Angle between the upper and the lower edge of the image."""
    aspect: float
    """Width of the image divided by its height."""
    points: ChunkPoints
    thumbnail_jpeg: bytes
    """The small image, as JPEG."""

    @property
    def T_map_camera(self) -> NDArray[np.float64]:
        """(4, 4): takes camera points to the map's axes (x forward, y left, z up), scene units."""
        return T_map_world @ self.T_world_camera

    def points_map(self) -> NDArray[np.float32]:
        """(N, 3) all points in the map's axes, scene units."""
        T = self.T_map_camera
        rotation = (T[:3, :3] * self.scale).astype(np.float32)
        return self.points.camera.astype(np.float32) @ rotation.T + T[:3, 3].astype(np.float32)

    def thumbnail(self) -> NDArray[np.uint8]:
        """(h, w, 3) the small image, RGB."""
        decoded = cv2.imdecode(np.frombuffer(self.thumbnail_jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
        return np.asarray(decoded, np.uint8)

    def moved(self, change: Sim3) -> Chunk:
        """The chunk after a closed loop has moved it by a similarity (1,) of the engine's world."""
        T = change.apply_to_pose(self.T_world_camera[None])[0]
        return replace(self, T_world_camera=T, scale=self.scale * float(change.scale[0]))


def chunk_of(view: KeyframeView, most_points: int) -> Chunk:
    """The chunk of a keyframe view, with at most this many points."""
    height, width = view.depth.shape
    order = spread_order(height, width)
    depth = view.depth.ravel()[order]
    order = order[np.isfinite(depth)][:most_points]
    rows, columns = np.divmod(order, width)
    z, camera = view.depth.ravel()[order], view.depth_camera
    points = np.stack([(columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z, z], axis=1)
    (image_height, image_width) = view.image.shape[:2]
    colours = view.image[(2 * rows + 1) * image_height // (2 * height), (2 * columns + 1) * image_width // (2 * width)]
    confidence = view.confidence.ravel()[order]
    return Chunk(
        id=view.id,
        index=view.index,
        stamp_ns=view.header.stamp_ns,
        T_world_camera=view.T_world_camera,
        scale=1.0,
        vertical_fov_rad=float(2 * np.arctan(view.camera.height / (2 * view.camera.fy))),
        aspect=view.camera.width / view.camera.height,
        points=ChunkPoints(points.astype(np.float16), colours, confidence.astype(np.float16)),
        thumbnail_jpeg=_thumbnail(view.image),
    )


def _thumbnail(image: NDArray[np.uint8]) -> bytes:
    """A small copy of an RGB image, as JPEG."""
    height = min(TUNING.thumbnail_height, image.shape[0])
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return encoded.tobytes()

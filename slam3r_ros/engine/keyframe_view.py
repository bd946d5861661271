"""Keyframe views: a keyframe's image, depth and pose, from which its points follow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.dense_depth.tuning import TUNING
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.crop import CropRegion, crop_camera, is_inside
from slam3r_ros.geometry.se3 import invert_rigid
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.types import ImageHeader, MapPoints, RegisteredFrame, State


@dataclass(frozen=True, slots=True, eq=False)
class KeyframeView:
    """A keyframe as it is shown, saved and exported. A later view with the same `id` replaces an earlier one: its depth
    is better, or a closed loop has moved it."""

    id: int
    """Number of the view, from 0 in the order in which they are made."""
    index: int
    """Number of its frame among those that the engine has processed."""
    header: ImageHeader
    T_world_camera: NDArray[np.float64]
    """(4, 4): takes camera points (x right, y down, z forward) to the world, scene units."""
    camera: Camera
    """Pinhole intrinsics of `image`."""
    image: NDArray[np.uint8]
    """(height, width, 3) RGB, undistorted."""
    depth: NDArray[np.float32]
    """(h, w) distances along the optical axis, scene units; NaN where none is known. The grid covers the whole of
    `image`, which may be finer."""
    confidence: NDArray[np.float32]
    """(h, w) confidences of the depths, as those of the map's points."""
    added: MapPoints | None = None
    """Points that this view added to the map, in voxels that were empty or held only points of the networks; None
    where it added none, as a view by the networks, or where they are no longer kept."""

    @property
    def depth_camera(self) -> Camera:
        """Pinhole intrinsics of `depth`."""
        height, width = self.depth.shape
        return self.camera.scaled(width, height)

    def points(self, least_confidence: float = 0.0, pixel_step: int = 1) -> MapPoints:
        """The points of all pixels whose depth is known and whose confidence is at least this, coloured by the image's
        pixel at the centre of theirs; with ``pixel_step`` of every so many rows and columns."""
        chosen = np.isfinite(self.depth) & (self.confidence >= least_confidence)
        rows, columns = (pixel_step * each for each in np.nonzero(chosen[::pixel_step, ::pixel_step]))
        return self._points_at(rows, columns)

    def points_of(self, pixels: NDArray[np.bool_]) -> MapPoints:
        """The points of those of these pixels (h, w) whose depth is known, as `points` has them."""
        rows, columns = np.nonzero(pixels & np.isfinite(self.depth))
        return self._points_at(rows, columns)

    def pixels_of(self, points_world: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(h, w) for each of these points (N, 3), which were fused of points of this view, a pixel whose point is near
        it: of the pixel on which it falls and its eight neighbours the one with the nearest point in space. Points that
        fall elsewhere than on known depths have none."""
        T, K = invert_rigid(self.T_world_camera), self.depth_camera.matrix
        in_camera = points_world.astype(np.float64) @ T[:3, :3].T + T[:3, 3]
        in_camera = in_camera[in_camera[:, 2] > 0]
        homogeneous = in_camera @ K.T
        centres = np.rint(homogeneous[:, 1::-1] / homogeneous[:, 2:]).astype(np.int64)  # rows and columns
        height, width = self.depth.shape
        best, chosen = np.full(len(centres), np.inf), np.full((len(centres), 2), -1)
        for offset in np.ndindex(3, 3):
            cells = centres + np.array(offset) - 1
            inside = (cells >= 0).all(axis=1) & (cells < (height, width)).all(axis=1)
            row, column = np.where(inside[:, None], cells, 0).T
            z = np.where(inside, self.depth[row, column], np.nan).astype(np.float64)
            there = np.linalg.solve(K, np.stack([column * z, row * z, z])).T
            distances = np.linalg.norm(there - in_camera, axis=1)
            nearer = distances < best  # not where a depth is unknown
            best[nearer], chosen[nearer] = distances[nearer], cells[nearer]
        pixels = np.zeros((height, width), np.bool_)
        pixels[tuple(chosen[np.isfinite(best)].T)] = True
        return pixels

    def _points_at(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> MapPoints:
        z, camera = self.depth[rows, columns].astype(np.float64), self.depth_camera
        in_camera = np.stack([(columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z, z], axis=1)
        in_world = in_camera @ self.T_world_camera[:3, :3].T + self.T_world_camera[:3, 3]
        (height, width), (h, w) = self.image.shape[:2], self.depth.shape
        colours = self.image[(2 * rows + 1) * height // (2 * h), (2 * columns + 1) * width // (2 * w)]
        return MapPoints(in_world.astype(np.float32), colours, self.confidence[rows, columns])

    def corrected(self, correction: MapCorrection) -> KeyframeView:
        """The view after a closed loop has moved it."""
        change = correction.of_frames(np.array([self.index]))
        T = change.apply_to_pose(self.T_world_camera[None])[0]
        return replace(self, T_world_camera=T, depth=self.depth * np.float32(change.scale[0]))


class KeyframeViews:
    """Chooses the registered frames that are kept as views, and makes their views.

    The keyframe buffer is a random sample of the whole sequence, the sparser the longer it lasts. Views are to cover
    all of it alike: a frame is kept when a window's stride has passed since the last one that was.
    """

    def __init__(self, *, least_confidence: float, uses_camera: bool) -> None:
        """``uses_camera``: whether poses are computed with known intrinsics."""
        self.least_confidence = least_confidence
        """Depths less confident than this are unknown."""
        self._uses_camera = uses_camera
        self._count, self._last_source_index = 0, 0

    def begin_from(self, number: int) -> None:
        """Number the views from this number on."""
        self._count = number

    def choose(self, frame: RegisteredFrame, stride: int) -> KeyframeView | None:
        """The view of a registered frame, by its pointmap; None where it has no pose, its points are kept out of the
        map, or the last view is less than ``stride`` images of the camera before it.

        Its image is the whole image where the frame carries it, else the networks' crop.
        """
        encoded = frame.local.frame
        if frame.pose is None or frame.is_excluded or frame.state is not State.TRACKING:
            return None
        if self._count and encoded.source_index < self._last_source_index + stride:
            return None
        depth = pointmap_depths(frame, self.least_confidence)
        view = KeyframeView(
            id=self._count,
            index=frame.index,
            header=encoded.header,
            T_world_camera=frame.pose.T_world_camera,
            camera=self.camera(frame),
            image=encoded.image if encoded.working is None else encoded.working.image,
            depth=depth.depth,
            confidence=depth.confidence,
        )
        self._count, self._last_source_index = self._count + 1, encoded.source_index
        return view

    def camera(self, frame: RegisteredFrame) -> Camera:
        """The pinhole camera of a view's image, with which the frame's pose was computed."""
        assert frame.pose is not None
        encoded = frame.local.frame
        known = encoded.header.camera if self._uses_camera else None
        if encoded.working is None:
            return pointmap_camera(encoded.crop_size, frame.pose.focal_px, known)
        height, width = encoded.working.grey.shape
        if known is not None and encoded.working.camera is not None:
            return encoded.working.camera.without_distortion()
        share = CropRegion.of(encoded.header.size, encoded.crop_size).width
        focal_px = frame.pose.focal_px / encoded.crop_size[1] * share * width
        return Camera(width, height, focal_px, focal_px, (width - 1) / 2, (height - 1) / 2)


@dataclass(frozen=True, slots=True, eq=False)
class PointmapDepths:
    """A pointmap as a depth image."""

    depth: NDArray[np.float32]
    """(h, w) distances along the optical axis, scene units; NaN where there is none."""
    confidence: NDArray[np.float32]
    """(h, w) their confidences; 0 outside the pointmap."""


def pointmap_depths(frame: RegisteredFrame, least_confidence: float) -> PointmapDepths:
    """The depths of a frame's world points at least as confident as that.

    Where the frame carries its whole image, (h, w) is that of its dense depth image: each pixel there has the depth of
    the pointmap's pixel at its centre, and none outside the networks' crop.
    """
    assert frame.pose is not None
    encoded, on_host = frame.local.frame, frame.on_host
    depth = depth_image(on_host.points_world, on_host.confidence, frame.pose.T_world_camera, least_confidence)
    if encoded.working is None:
        return PointmapDepths(depth, on_host.confidence)
    shape = depth_size(*encoded.working.grey.shape)
    columns, rows = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    places = CropRegion.of(encoded.header.size, encoded.crop_size).positions(np.stack([columns, rows], axis=2), shape)
    inside, cells = is_inside(places), np.array(depth.shape[::-1])
    column, row = (places * cells).astype(np.intp).clip(0, cells - 1).transpose(2, 0, 1)
    return PointmapDepths(
        np.where(inside, depth[row, column], np.float32(np.nan)),
        np.where(inside, on_host.confidence[row, column], np.float32(0)),
    )


def depth_size(height: int, width: int) -> tuple[int, int]:
    """(h, w) of the dense depth image of a whole image of that size."""
    scale = min(1.0, TUNING.image_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def depth_image(
    points_world: NDArray[np.float32],
    confidence: NDArray[np.float32],
    T_world_camera: NDArray[np.float64],
    least_confidence: float,
) -> NDArray[np.float32]:
    """Return (H, W) distances along the optical axis of (H, W, 3) world points, scene units.

    NaN where there is none: points of exactly zero, which mark invalid ones, those behind the camera or not finite, and
    those whose confidence (H, W) is below the least.
    """
    to_camera = invert_rigid(T_world_camera)[2].astype(np.float32)
    depths: NDArray[np.float32] = points_world @ to_camera[:3] + to_camera[3]
    valid = points_world.any(axis=2) & np.isfinite(depths) & (depths > 0) & (confidence >= least_confidence)
    return np.where(valid, depths, np.float32(np.nan))


def pointmap_camera(size: tuple[int, ...], focal_px: float, camera: Camera | None) -> Camera:
    """Return the pinhole camera of a pointmap of (height, width) pixels, as its pose was computed with.

    That is the crop of a known ``camera`` of the whole image; else the focal length is ``focal_px``, pixels of the
    pointmap, and the principal point its centre.
    """
    height, width = size
    if camera is not None:
        return replace(crop_camera(camera, (height, width)), distortion_model="none", distortion=())
    return Camera(width, height, focal_px, focal_px, (width - 1) / 2, (height - 1) / 2)

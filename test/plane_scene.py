"""A camera that moves before a slanted wall with a random texture: exact images, depths and poses for image tracks."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_refinement import KeyframeRefinement
from slam3r_ros.engine.stage_timer import StageTimer
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid
from slam3r_ros.loop_closure.loop_closer import LoopCloser
from slam3r_ros.networks.blocks import LayerActivations
from slam3r_ros.odometry.odometry_stage import OdometryStage
from slam3r_ros.settings import LoopSettings, PoseSettings
from slam3r_ros.types import EncodedFrame, EncodedImage, ImageHeader, RegisteredFrame
from slam3r_ros.vision.working_image import WorkingImage

SIDE = 224
"""Pixels of the square images."""
MATRIX = np.array([[220.0, 0, 111.5], [0, 220.0, 111.5], [0, 0, 1]])
TEXTURE_PX_PER_M = 150.0
"""Of the wall."""
_CORNER, _ACROSS, _DOWN = np.array([-5.0, -4.0, 3.2]), np.array([0.98, 0.0, -0.2]), np.array([0.0, 1.0, 0.05])


def _texture() -> NDArray[np.uint8]:
    random = np.random.default_rng(5)
    layers = [cv2.resize(random.random((n, n)), (1500, 1500), interpolation=cv2.INTER_CUBIC) for n in (40, 120, 300)]
    return np.asarray((sum(layers) / 3).clip(0, 1) * 255, dtype=np.uint8)


TEXTURE = _texture()


def pose(number: float, *, moving: bool = True) -> Array:
    """T_world_camera, metres: on a curve, turning; only turning if not ``moving``."""
    turn = cv2.Rodrigues(np.array([0.05 * np.sin(number / 9), 0.1 * np.sin(number / 14), 0.02 * np.sin(number / 5)]))[0]
    shift = [0.03 * number, 0.15 * np.sin(number / 8), 0.1 * np.sin(number / 11)] if moving else np.zeros(3)
    return rigid(turn, shift)


def image(T_world_camera: Array) -> NDArray[np.uint8]:
    """(SIDE, SIDE) grey."""
    T = invert_rigid(T_world_camera)
    plane = np.column_stack([_ACROSS / TEXTURE_PX_PER_M, _DOWN / TEXTURE_PX_PER_M, _CORNER])
    to_image = MATRIX @ (T[:3, :3] @ plane + np.outer(T[:3, 3], [0, 0, 1]))
    return np.asarray(cv2.warpPerspective(TEXTURE, to_image, (SIDE, SIDE), flags=cv2.INTER_LINEAR), dtype=np.uint8)


def depths(T_world_camera: Array) -> NDArray[np.float32]:
    """(SIDE / 2, SIDE / 2) along the optical axis, metres."""
    normal = np.cross(_ACROSS, _DOWN)
    v, u = np.mgrid[0.5:SIDE:2, 0.5:SIDE:2]
    rays = np.stack([(u - MATRIX[0, 2]) / MATRIX[0, 0], (v - MATRIX[1, 2]) / MATRIX[1, 1], np.ones_like(u)], axis=-1)
    along = rays @ T_world_camera[:3, :3].T @ normal
    return np.asarray((normal @ (_CORNER - T_world_camera[:3, 3])) / along, dtype=np.float32)


def encoded_frame(number: int, crop: NDArray[np.uint8], camera: Camera | None, grey: NDArray[np.uint8]) -> EncodedFrame:
    """A frame with an image for visual odometry and nothing for the networks."""
    header, nothing = ImageHeader(number, (SIDE, SIDE)), torch.empty(0)
    layer = LayerActivations(nothing, nothing, nothing, nothing)
    whole = None if camera is None else camera.scaled(grey.shape[1], grey.shape[0])
    working = WorkingImage(np.repeat(grey[..., None], 3, axis=2), grey, whole)
    return EncodedFrame.of(EncodedImage(header, crop, camera, nothing, layer, layer, working), number, number)


def refinement(*, close: bool = True, settings: PoseSettings | None = None) -> KeyframeRefinement:
    """Visual odometry and loop closure, as the mapping loop has them; ``close``: whether loops are closed."""
    loop_closer = LoopCloser(LoopSettings().most_places) if close else None
    return KeyframeRefinement(OdometryStage(settings or PoseSettings()), loop_closer, StageTimer())


def refined(stage: KeyframeRefinement, keyframe: RegisteredFrame) -> RegisteredFrame:
    """The frame with its pose and its points, where visual odometry has them."""
    return stage.finish(stage.refine(keyframe))

"""A textured board before a textured wall, both parallel to the axes: exact images, depths and occlusions."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.dense_depth.posed_view import PosedView
from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid

WIDTH, HEIGHT = 320, 240
MATRIX = np.array([[280.0, 0, 159.5], [0, 280.0, 119.5], [0, 0, 1]])
WALL_M, BOARD_M = 3.0, 1.5
"""Distances of wall and board along z."""
BOARD = np.array([[-0.3, -0.25], [0.25, 0.3]])
"""Metres: left and upper, right and lower edges of the board."""
_TEXTURE_PX_PER_M = 200.0


def _texture(seed: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    layers = [cv2.resize(random.random((n, n)), (1600, 1600), interpolation=cv2.INTER_CUBIC) for n in (50, 150, 400)]
    return np.asarray((sum(layers) / 3).clip(0, 1) * 255, np.uint8)


_WALL, _BOARD = _texture(1), _texture(2)


def pose(x: float, y: float = 0.0, z: float = 0.0, turn: float = 0.0) -> Array:
    """T_world_camera, metres; turned by radians about the vertical axis."""
    return rigid(cv2.Rodrigues(np.array([0.0, turn, 0.0]))[0], [x, y, z])


def depth(T_world_camera: Array) -> NDArray[np.float32]:
    """(HEIGHT, WIDTH) along the optical axis, metres."""
    wall, board, on_board = _planes(T_world_camera)
    return np.where(on_board, board, wall).astype(np.float32)


def view(T_world_camera: Array, *, light: float = 1.0) -> PosedView:
    """The image, brighter by a factor."""
    _, _, on_board = _planes(T_world_camera)
    wall, board = _image(_WALL, WALL_M, T_world_camera), _image(_BOARD, BOARD_M, T_world_camera)
    image = np.where(on_board, board, wall) * light
    return PosedView(image.clip(0, 255).astype(np.uint8), MATRIX, T_world_camera)


def is_on_board(T_world_camera: Array) -> NDArray[np.bool_]:
    """(HEIGHT, WIDTH)"""
    return _planes(T_world_camera)[2]


def _planes(T: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    v, u = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    rays = np.stack([(u - MATRIX[0, 2]) / MATRIX[0, 0], (v - MATRIX[1, 2]) / MATRIX[1, 1], np.ones_like(u)], axis=2)
    turned = rays @ T[:3, :3].T
    wall, board = ((distance - T[2, 3]) / turned[..., 2] for distance in (WALL_M, BOARD_M))
    places = (turned * board[..., None] + T[:3, 3])[..., :2]
    return wall, board, ((places > BOARD[0]) & (places < BOARD[1])).all(axis=2)


def _image(texture: NDArray[np.uint8], distance: float, T_world_camera: Array) -> NDArray[np.uint8]:
    T = invert_rigid(T_world_camera)
    plane = np.column_stack([[1 / _TEXTURE_PX_PER_M, 0, 0], [0, 1 / _TEXTURE_PX_PER_M, 0], [-4.0, -4.0, distance]])
    to_image = MATRIX @ (T[:3, :3] @ plane + np.outer(T[:3, 3], [0, 0, 1]))
    return np.asarray(cv2.warpPerspective(texture, to_image, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR), np.uint8)

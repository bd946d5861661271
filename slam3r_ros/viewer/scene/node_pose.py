"""Poses as viser's nodes have them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.se3 import quat_xyzw_from_rotation


class Movable(Protocol):
    """A node of viser's scene, as far as its pose goes."""

    wxyz: tuple[float, float, float, float] | NDArray[np.float64]
    position: tuple[float, float, float] | NDArray[np.float64]


def quat_wxyz(T: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4,) unit quaternion, w first, of the rotation of a (4, 4) transform."""
    quaternion: NDArray[np.float64] = np.roll(quat_xyzw_from_rotation(T[:3, :3]), 1)
    return quaternion


def move_node(node: Movable, T_map_node: NDArray[np.float64]) -> None:
    """Put a node of the scene at a (4, 4) pose."""
    node.wxyz = quat_wxyz(T_map_node)
    node.position = T_map_node[:3, 3]

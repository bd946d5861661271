"""Making PointCloud2 messages from NumPy arrays: the subset of sensor_msgs_py.point_cloud2 that slam3r_ros uses."""

from __future__ import annotations

import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header


def create_cloud(header: Header, fields: Iterable[PointField], points: NDArray[np.void]) -> PointCloud2:
    """Return an unorganized cloud of one row whose points are a structured array of shape (N,).

    The fields must describe the array's layout: each point in the message has the bytes that it has in the array.
    Raises ValueError if the array is not structured or has another shape. Unlike sensor_msgs_py's own function, this
    one takes neither an iterable of points nor organized clouds.
    """
    if points.ndim != 1 or points.dtype.names is None:
        raise ValueError(f"points: expected a structured array of shape (N,), got {points.dtype} {points.shape}")
    data = array.array("B")  # rclpy takes an array.array as it is, and checks each byte of any other sequence
    data.frombytes(points.tobytes())
    step = points.dtype.itemsize
    return PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=list(fields),
        is_bigendian=False,
        point_step=step,
        row_step=step * len(points),
        data=data,
        is_dense=False,
    )

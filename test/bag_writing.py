"""Bags for tests, written by rosbags without ROS."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

TYPES = get_typestore(Stores.ROS2_HUMBLE)
PLUGINS = {"mcap": StoragePlugin.MCAP, "db3": StoragePlugin.SQLITE3}


def _header(stamp_ns: int) -> Any:
    time = TYPES.types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return TYPES.types["std_msgs/msg/Header"](stamp=time, frame_id="camera")


def image_message(stamp_ns: int, image_rgb: np.ndarray, **changes: Any) -> Any:
    """A bgr8 Image with rows padded by two bytes."""
    height, width = image_rgb.shape[:2]
    rows = np.ascontiguousarray(image_rgb[..., ::-1]).reshape(height, -1)
    values = {
        "header": _header(stamp_ns),
        "height": height,
        "width": width,
        "encoding": "bgr8",
        "is_bigendian": 0,
        "step": width * 3 + 2,
        "data": np.pad(rows, ((0, 0), (0, 2))).reshape(-1),
    }
    return TYPES.types["sensor_msgs/msg/Image"](**(values | changes))


def compressed_message(stamp_ns: int, image_rgb: np.ndarray) -> Any:
    """A PNG in a CompressedImage."""
    data = cv2.imencode(".png", image_rgb[..., ::-1])[1].reshape(-1)
    return TYPES.types["sensor_msgs/msg/CompressedImage"](header=_header(stamp_ns), format="png", data=data)


def info_message(stamp_ns: int, width: int, height: int, focal: float) -> Any:
    """A CameraInfo without distortion."""
    region = TYPES.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    k = np.array([focal, 0, (width - 1) / 2, 0, focal, (height - 1) / 2, 0, 0, 1])
    return TYPES.types["sensor_msgs/msg/CameraInfo"](
        header=_header(stamp_ns),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=k,
        r=np.eye(3).ravel(),
        p=np.zeros(12),
        binning_x=0,
        binning_y=0,
        roi=region,
    )


def write_bag(folder: Path, kind: str, messages: Iterable[tuple[str, int, Any]]) -> Path:
    """A bag of (topic, time of recording in ns, message); returns the .mcap or .db3 file in ``folder``."""
    with Writer(folder, version=9, storage_plugin=PLUGINS[kind]) as writer:
        connections: dict[str, Any] = {}
        for topic, recorded_ns, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=TYPES)
            writer.write(connections[topic], recorded_ns, TYPES.serialize_cdr(message, message.__msgtype__))
    return next(folder.glob(f"*.{kind}"))

"""A rendered video with its truth as files: rgb/, depth/, poses.txt and intrinsics.txt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .camera_path import PathSettings, camera_path
from .renderer import Intrinsics, RenderedFrame, RoomRenderer
from .room_family import RoomFamily
from .rooms import build_room

TEXELS_PER_METRE = 128.0
JPEG_QUALITY = 95
POSE_HEADER = "# t tx ty tz qx qy qz qw (camera-to-world, camera axes x right, y down, z forward)\n"


def render_sequence(
    seed: int, settings: PathSettings, size: tuple[int, int], family: RoomFamily | None = None
) -> Iterator[RenderedFrame]:
    """Frames of the video of this seed, images `size` (width, height) pixels.

    Raises NoFreePathError when the seed's room has no camera path.
    """
    room = build_room(seed, family, TEXELS_PER_METRE)
    poses = camera_path(room, seed, settings, family)
    renderer = RoomRenderer(room, Intrinsics.from_field_of_view(room.field_of_view, *size))
    for pose in poses:
        yield renderer.render(pose)


def write_sequence(frames: Iterator[RenderedFrame], rate_hz: float, directory: Path) -> int:
    """Write frames as rgb/NNNNNN.jpg, depth/NNNNNN.png (uint16 mm), poses.txt, intrinsics.txt; returns their number."""
    for part in ("rgb", "depth"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    count = 0
    with (directory / "poses.txt").open("w") as poses:
        poses.write(POSE_HEADER)
        for count, frame in enumerate(frames, start=1):
            name = f"{count - 1:06d}"
            Image.fromarray(frame.colour).save(directory / "rgb" / f"{name}.jpg", quality=JPEG_QUALITY)
            millimetres = np.clip(np.rint(frame.depth * 1000), 0, 65535).astype(np.uint16)
            Image.fromarray(millimetres).save(directory / "depth" / f"{name}.png")
            poses.write(pose_line((count - 1) / rate_hz, frame.T_world_camera))
            if count == 1:
                (directory / "intrinsics.txt").write_text(intrinsics_line(frame.intrinsics))
    return count


def intrinsics_line(camera: Intrinsics) -> str:
    """`fx fy cx cy width height`, pixel centres at integers."""
    return f"{camera.fx:.6f} {camera.fy:.6f} {camera.cx:.6f} {camera.cy:.6f} {camera.width} {camera.height}\n"


def pose_line(seconds: float, pose: NDArray[np.float64]) -> str:
    """`t tx ty tz qx qy qz qw` of a pose T_world_camera (4, 4)."""
    values = [*pose[:3, 3], *quaternion_xyzw(pose[:3, :3])]
    return f"{seconds:.6f} " + " ".join(f"{value:.7f}" for value in values) + "\n"


def quaternion_xyzw(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit quaternion (4,) x, y, z, w with w >= 0 of a rotation matrix (3, 3).

    Eigenvector of the symmetric 4x4 matrix of Bar-Itzhack, "New method for extracting the quaternion from a rotation
    matrix", 2000.
    """
    m = rotation
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], m[1, 0] + m[0, 1], m[2, 0] + m[0, 2], m[2, 1] - m[1, 2]],
            [m[1, 0] + m[0, 1], m[1, 1] - m[0, 0] - m[2, 2], m[2, 1] + m[1, 2], m[0, 2] - m[2, 0]],
            [m[2, 0] + m[0, 2], m[2, 1] + m[1, 2], m[2, 2] - m[0, 0] - m[1, 1], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m[0, 0] + m[1, 1] + m[2, 2]],
        ]
    )
    quaternion: NDArray[np.float64] = np.linalg.eigh(k)[1][:, -1]
    return quaternion if quaternion[3] >= 0 else -quaternion

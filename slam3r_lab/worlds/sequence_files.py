"""A rendered sequence with its truth as files.

Images and depth as rgb/ and depth/, or the images alone as one video, and poses.txt and intrinsics.txt.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slam3r_lab.worlds.build import build_world
from slam3r_lab.worlds.effects import CameraEffects
from slam3r_lab.worlds.family import NARROW, WorldFamily
from slam3r_lab.worlds.paths.choose import PathSettings, camera_path
from slam3r_lab.worlds.renderer import RenderedFrame, WorldRenderer, camera_from_field_of_view
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import quat_xyzw_from_rotation

TEXELS_PER_METRE = 128.0
JPEG_QUALITY = 95
VIDEO_NAME = "rgb.mp4"
H264_RATE_FACTOR = 18
"""Constant rate factor of libx264: at 18, H.264 is said to be visually lossless."""
POSE_HEADER = "# t tx ty tz qx qy qz qw (camera-to-world, camera axes x right, y down, z forward)\n"


def render_sequence(
    seed: int,
    settings: PathSettings,
    size: tuple[int, int],
    family: WorldFamily = NARROW,
    *,
    texels_per_metre: float = TEXELS_PER_METRE,
    device: str = "cpu",
) -> Iterator[RenderedFrame]:
    """Frames of the video of this seed and family, images `size` (width, height) pixels.

    `texels_per_metre` is the resolution of the textures of plain rooms. Raises NoFreePathError when the seed's world
    has no camera path.
    """
    world = build_world(seed, family, texels_per_metre, device)
    poses = camera_path(world, seed, settings, family)
    effects = CameraEffects(seed, family.effects, settings.rate_hz) if family.effects else None
    camera = camera_from_field_of_view(world.field_of_view, *size)
    yield from WorldRenderer(world, camera, effects, device).render(poses)


def write_sequence(frames: Iterator[RenderedFrame], rate_hz: float, directory: Path) -> int:
    """Write frames as rgb/NNNNNN.jpg, depth/NNNNNN.png (uint16 mm, 0 = none), poses.txt, intrinsics.txt; returns their
    number.
    """
    for part in ("rgb", "depth"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    count = 0
    with (directory / "poses.txt").open("w") as poses:
        poses.write(POSE_HEADER)
        for count, frame in enumerate(frames, start=1):
            name = f"{count - 1:06d}"
            Image.fromarray(frame.colour).save(directory / "rgb" / f"{name}.jpg", quality=JPEG_QUALITY)
            millimetres = np.rint(frame.depth * 1000)
            millimetres = np.where(millimetres > 65535, 0, millimetres).astype(np.uint16)
            Image.fromarray(millimetres).save(directory / "depth" / f"{name}.png")
            poses.write(pose_line((count - 1) / rate_hz, frame.T_world_camera))
            if count == 1:
                (directory / "intrinsics.txt").write_text(intrinsics_line(frame.camera))
    return count


def write_video(frames: Iterator[RenderedFrame], rate_hz: float, directory: Path) -> int:
    """Write the images as one H.264 video, rgb.mp4, poses.txt and intrinsics.txt; returns the number of frames.

    Raises ModuleNotFoundError without the package av.
    """
    import av

    directory.mkdir(parents=True, exist_ok=True)
    rate, count = Fraction(rate_hz).limit_denominator(1001), 0
    with (
        (directory / "poses.txt").open("w") as poses,
        av.open(str(directory / VIDEO_NAME), "w", options={"movflags": "+faststart"}) as container,
    ):
        poses.write(POSE_HEADER)
        stream = container.add_stream("libx264", rate=rate)
        stream.options = {"crf": str(H264_RATE_FACTOR), "preset": "slow"}
        for count, frame in enumerate(frames, start=1):
            if count == 1:
                stream.width, stream.height, stream.pix_fmt = frame.camera.width, frame.camera.height, "yuv420p"
                (directory / "intrinsics.txt").write_text(intrinsics_line(frame.camera))
            image = av.VideoFrame.from_ndarray(frame.colour, format="rgb24")
            image.pts, image.time_base = count - 1, 1 / rate
            container.mux(stream.encode(image))
            poses.write(pose_line((count - 1) / rate_hz, frame.T_world_camera))
        container.mux(stream.encode(None))
    return count


def intrinsics_line(camera: Camera) -> str:
    """`fx fy cx cy width height`, pixel centres at integers."""
    return f"{camera.fx:.6f} {camera.fy:.6f} {camera.cx:.6f} {camera.cy:.6f} {camera.width} {camera.height}\n"


def pose_line(seconds: float, pose: NDArray[np.float64]) -> str:
    """`t tx ty tz qx qy qz qw` of a pose T_world_camera (4, 4)."""
    values = [*pose[:3, 3], *quat_xyzw_from_rotation(pose[:3, :3])]
    return f"{seconds:.6f} " + " ".join(f"{value:.7f}" for value in values) + "\n"

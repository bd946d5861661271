"""What the networks should answer: true points of the pixels that they see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slam3r_lab.sequences.sequence import ImageSequence, SequenceFrame
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.crop import crop_camera
from slam3r_ros.geometry.se3 import transform_points


@dataclass(frozen=True, slots=True, eq=False)
class TruePointmap:
    """The true points of a frame's crop."""

    points_camera: NDArray[np.float32]
    """(H, W, 3) metres, camera axes x right, y down, z forward; zero where not valid."""
    valid: NDArray[np.bool_]
    """(H, W) where there is depth."""
    camera: Camera
    """Pinhole intrinsics of the crop."""
    T_world_camera: NDArray[np.float64] | None
    """(4, 4) metres; None where the true pose is not known."""

    def points_world(self) -> NDArray[np.float64]:
        """(H, W, 3) metres, meaningless where not valid; raises ValueError where the pose is not known."""
        if self.T_world_camera is None:
            raise ValueError("points_world: the frame has no true pose")
        return transform_points(self.T_world_camera, self.points_camera)


def true_pointmap(sequence: ImageSequence, frame: SequenceFrame, image_size: tuple[int, int]) -> TruePointmap | None:
    """The true points of what the engine cuts out of a frame, ``image_size`` = (H, W) pixels.

    A pixel's point lies on its own ray, at the depth of the nearest pixel of the depth image. None where the sequence
    has no depth for the frame or no intrinsics. Raises SequenceError when the file cannot be read.
    """
    depth = sequence.depth(frame)
    if depth is None:
        return None
    camera = sequence.camera_of(depth)
    if camera is None:
        return None
    crop = crop_camera(camera, image_size)
    rays_x = (np.arange(crop.width) - crop.cx) / crop.fx
    rays_y = (np.arange(crop.height) - crop.cy) / crop.fy
    columns = np.rint(rays_x * camera.fx + camera.cx).astype(np.intp).clip(0, camera.width - 1)
    rows = np.rint(rays_y * camera.fy + camera.cy).astype(np.intp).clip(0, camera.height - 1)
    z = depth[rows[:, None], columns]
    points = np.stack([rays_x * z, rays_y[:, None] * z, z], axis=-1).astype(np.float32)
    return TruePointmap(points, z > 0, crop, frame.T_world_camera)

"""RGB-D recordings as training data: folders with rgb/, depth/ (uint16 mm, 0 = none), poses.txt and intrinsics.txt.

Images are cropped as the engine does it; each recording becomes clips of as many frames as a rendered world has.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slam3r_ros.engine.encoder import resize_and_crop
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.crop import crop_camera
from slam3r_ros.io.files import FileFormatError
from slam3r_ros.io.sources import SourceError
from slam3r_ros.io.sources.images import images_in, read_intrinsics
from slam3r_ros.io.tum import read_trajectory

from .arrays_file import read_cache, write_arrays
from .clips import FRAME_RATE_HZ, FRAMES_PER_CLIP, Clips, DataError

_MILLIMETRES = 1000.0
_LARGEST_GAP_S = 1.0


def recordings_in(folder: Path) -> list[Path]:
    """The recordings that a folder is or holds, in the order of their names."""
    found = [folder] if _is_recording(folder) else []
    return found + sorted(child for child in folder.iterdir() if child.is_dir() and _is_recording(child))


def _is_recording(folder: Path) -> bool:
    return (folder / "rgb").is_dir() and (folder / "depth").is_dir() and (folder / "poses.txt").is_file()


def load_recording(folder: Path, image_size: tuple[int, int], cache: Path) -> Clips | None:
    """Clips of a recording, `image_size` (height, width), kept in the folder `cache`; None when it is too short.

    Raises DataError for files that do not belong together or cannot be read.
    """
    key = f"{folder.resolve()} {image_size} {(folder / 'poses.txt').stat().st_mtime_ns}"
    kept = cache / f"{folder.name}_{image_size[0]}x{image_size[1]}.npz"
    arrays = read_cache(kept, key)
    if arrays is None:
        clips = _read_clips(folder, image_size)
        if clips is None:
            return None
        write_arrays(kept, {part.name: getattr(clips, part.name) for part in fields(clips)}, key)
        return clips
    return Clips(**arrays)


def _read_clips(folder: Path, image_size: tuple[int, int]) -> Clips | None:
    images, depths = images_in(folder / "rgb"), images_in(folder / "depth")
    try:
        poses, camera = read_trajectory(folder / "poses.txt"), read_intrinsics([folder])
    except (FileFormatError, SourceError) as error:
        raise DataError(f"recording {folder}: {error}") from error
    if camera is None or not len(images) == len(depths) == len(poses) > 0:
        raise DataError(
            f"recording {folder}: expected intrinsics.txt and images, as many as depth images and poses, got "
            f"{len(images)} images, {len(depths)} depth images, {len(poses)} poses"
        )
    groups = clip_frames(np.array([pose.stamp_ns for pose in poses], np.int64))
    if not groups:
        return None
    crop = crop_camera(camera, image_size)
    clips = []
    for frames in groups:
        colour = np.stack([_colour(images[frame], image_size) for frame in frames])
        depth = np.stack([_depth(depths[frame], camera, crop) for frame in frames])
        pose = np.stack([poses[frame].T_world_camera for frame in frames]).astype(np.float32)
        intrinsics = np.array([[(crop.fx + crop.fy) / 2, crop.cx, crop.cy]], np.float32)
        name = np.array([f"{folder.name}:{frames[0]}"])
        weight, sky = np.array([1.0]), np.array([False])
        clips.append(Clips(name, weight, colour[None], depth[None], pose[None], intrinsics, sky))
    return Clips.joined(clips, len(clips))


def clip_frames(stamps_ns: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Indices (FRAMES_PER_CLIP,) of the frames of each clip: about FRAME_RATE_HZ a second, without large gaps.

    What is left at the end of a recording is not used.
    """
    seconds = (stamps_ns - stamps_ns[0]) / 1e9
    kept: list[int] = [0]
    clips = []
    for index in range(1, len(seconds)):
        gap = seconds[index] - seconds[kept[-1]]
        if gap < 0.999 / FRAME_RATE_HZ:
            continue
        if gap > _LARGEST_GAP_S:
            kept = []
        kept.append(index)
        if len(kept) == FRAMES_PER_CLIP:
            clips.append(np.array(kept))
            kept = [index]
    return clips


def _colour(path: Path, image_size: tuple[int, int]) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return resize_and_crop(np.asarray(image.convert("RGB")), image_size)


def _depth(path: Path, camera: Camera, crop: Camera) -> NDArray[np.float16]:
    """Depth at the pixels of the crop, metres: that of the nearest pixel of the file, which is not averaged."""
    with Image.open(path) as image:
        whole = np.asarray(image, np.float32) / _MILLIMETRES
    camera = camera.scaled(whole.shape[1], whole.shape[0])
    x = (np.arange(crop.width) - crop.cx) / crop.fx * camera.fx + camera.cx
    y = (np.arange(crop.height) - crop.cy) / crop.fy * camera.fy + camera.cy
    columns = np.rint(x).astype(np.int64).clip(0, whole.shape[1] - 1)
    rows = np.rint(y).astype(np.int64).clip(0, whole.shape[0] - 1)
    return whole[rows[:, None], columns].astype(np.float16)

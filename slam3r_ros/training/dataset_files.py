"""Pre-rendered rooms on disk: one uncompressed .npz a room seed, written atomically, rendered by several processes."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .camera_path import NoFreePathError, PathSettings, camera_path
from .renderer import Intrinsics, RoomRenderer
from .rooms import build_room

FRAMES_PER_ROOM = 40
FRAME_RATE_HZ = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class RenderedRooms:
    """Frames of R rooms, F frames each, in memory."""

    seeds: NDArray[np.int64]
    """(R,) room seeds."""
    colour: NDArray[np.uint8]
    """(R, F, H, W, 3) RGB."""
    depth: NDArray[np.float16]
    """(R, F, H, W) z-depth, metres."""
    T_world_camera: NDArray[np.float32]
    """(R, F, 4, 4) metres, camera axes x right, y down, z forward."""
    focal: NDArray[np.float32]
    """(R,) focal length, pixels; the principal point is the image's middle."""

    def __len__(self) -> int:
        return len(self.seeds)

    def share(self, worker: int, count: int) -> RenderedRooms:
        """Every `count`-th room, from the one with index `worker` on."""
        mine = slice(worker, None, count)
        return RenderedRooms(
            self.seeds[mine], self.colour[mine], self.depth[mine], self.T_world_camera[mine], self.focal[mine]
        )


def room_file(directory: Path, seed: int) -> Path:
    """Where the frames of a room seed are kept."""
    return directory / f"room_{seed:05d}.npz"


def render_room_file(directory: Path, seed: int, image_size: int) -> bool:
    """Render one room into its file unless it is there; False when the room has no camera path (no file is written)."""
    target = room_file(directory, seed)
    if target.exists():
        return True
    room = build_room(seed)
    try:
        poses = camera_path(room, seed, PathSettings(FRAMES_PER_ROOM, FRAME_RATE_HZ))
    except NoFreePathError:
        return False
    intrinsics = Intrinsics.from_field_of_view(room.field_of_view, image_size, image_size)
    renderer = RoomRenderer(room, intrinsics)
    frames = [renderer.render(pose) for pose in poses]
    partial = target.with_suffix(".partial.npz")
    np.savez(
        partial,
        colour=np.stack([frame.colour for frame in frames]),
        depth=np.stack([frame.depth for frame in frames]).astype(np.float16),
        T_world_camera=poses.astype(np.float32),
        focal=np.float32(intrinsics.fx),
    )
    os.replace(partial, target)
    return True


def _render_task(task: tuple[Path, int, int]) -> bool:
    torch.set_num_threads(1)
    return render_room_file(*task)


def render_rooms(directory: Path, seeds: Iterable[int], image_size: int, processes: int = 2) -> int:
    """Render the rooms of these seeds that are missing; returns how many have frames now, and prints progress."""
    directory.mkdir(parents=True, exist_ok=True)
    tasks = [(directory, seed, image_size) for seed in seeds]
    started, done = time.monotonic(), 0
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for index, written in enumerate(pool.imap(_render_task, tasks), start=1):
            done += written
            if index % 20 == 0 or index == len(tasks):
                print(f"rooms: {index} of {len(tasks)}, {time.monotonic() - started:.0f} s", flush=True)
    return done


def load_rooms(directory: Path, seeds: Iterable[int]) -> RenderedRooms:
    """Load the rooms of these seeds that were rendered; raises FileNotFoundError when there is none."""
    present = [seed for seed in seeds if room_file(directory, seed).exists()]
    if not present:
        raise FileNotFoundError(
            f"no rendered rooms of the wanted seeds in {directory}: "
            f"render them with 'slam3r_ros train --stage data --data {directory}'"
        )
    columns: dict[str, list[NDArray[np.generic]]] = {
        name: [] for name in ("colour", "depth", "T_world_camera", "focal")
    }
    for seed in present:
        with np.load(room_file(directory, seed)) as arrays:
            for name, column in columns.items():
                column.append(arrays[name])
    stacked = {name: np.stack(column) for name, column in columns.items()}
    return RenderedRooms(
        np.array(present), stacked["colour"], stacked["depth"], stacked["T_world_camera"], stacked["focal"]
    )

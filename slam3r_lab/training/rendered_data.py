"""Rendered worlds as training data: one file a seed, rendered by several processes or on a GPU."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from slam3r_lab.worlds.family import family_of
from slam3r_lab.worlds.paths.choose import PathSettings
from slam3r_lab.worlds.paths.curves import NoFreePathError
from slam3r_lab.worlds.sequence_files import render_sequence

from .arrays_file import Arrays, read_arrays, write_arrays
from .clips import FRAME_RATE_HZ, FRAMES_PER_CLIP, Clips, DataError

TEXELS_PER_METRE = 64.0


def family_folder(data: Path, family: str, image_size: int) -> Path:
    """Where the worlds of a family are kept in a folder of training data: its folder there, or the folder itself when
    it holds rendered worlds directly. Raises DataError when those are of another family.
    """
    folder = data / f"{family}_{image_size}"
    if folder.exists() or not holds_worlds(data):
        return folder
    read_world(next(_world_files(data)), family)
    return data


def holds_worlds(folder: Path) -> bool:
    """Whether a folder holds files of rendered worlds."""
    return next(_world_files(folder), None) is not None


def _world_files(folder: Path) -> Iterator[Path]:
    return folder.glob("room_?????.npz")  # not one that is being written


def world_file(folder: Path, seed: int) -> Path:
    """Where the frames of a seed are kept."""
    return folder / f"room_{seed:05d}.npz"


def render_world_file(folder: Path, seed: int, family: str, image_size: int, device: str = "cpu") -> bool:
    """Render one world into its file unless it is there; False when it has no camera path (no file is written)."""
    target = world_file(folder, seed)
    if target.exists():
        return True
    path = PathSettings(FRAMES_PER_CLIP, FRAME_RATE_HZ)
    size = (image_size, image_size)
    try:
        frames = list(
            render_sequence(seed, path, size, family_of(family), texels_per_metre=TEXELS_PER_METRE, device=device)
        )
    except NoFreePathError:
        return False
    arrays: Arrays = {
        "colour": np.stack([frame.colour for frame in frames]),
        "depth": np.stack([frame.depth for frame in frames]).astype(np.float16),
        "T_world_camera": np.stack([frame.T_world_camera for frame in frames]).astype(np.float32),
        "focal": np.array(frames[0].camera.fx, np.float32),
    }
    write_arrays(target, arrays, family)
    return True


def _render_task(task: tuple[Path, int, str, int, str]) -> bool:
    torch.set_num_threads(1)
    return render_world_file(*task)


def render_worlds(
    folder: Path, seeds: Iterable[int], family: str, image_size: int, processes: int = 2, device: str = "cpu"
) -> int:
    """Render the worlds of these seeds that are missing; returns how many have frames now, and prints progress."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [(folder, seed, family, image_size, device) for seed in seeds]
    started, done = time.monotonic(), 0
    missing = [task for task in tasks if not world_file(folder, task[1]).exists()]
    done += len(tasks) - len(missing)
    if not missing:
        return done
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for index, written in enumerate(pool.imap(_render_task, missing), start=1):
            done += written
            if index % 20 == 0 or index == len(missing):
                seconds = time.monotonic() - started
                rate = index * FRAMES_PER_CLIP / seconds
                print(f"{family}: {index} of {len(missing)} worlds, {seconds:.0f} s, {rate:.1f} frames/s", flush=True)
    return done


def no_worlds(folder: Path) -> DataError:
    """The error of a folder without the worlds that are wanted."""
    return DataError(
        f"no rendered worlds of the wanted seeds in {folder}: render them with 'slam3r_lab train --stage data', with "
        "the same --data, --rooms and --curriculum"
    )


def rendered_seeds(folder: Path, seeds: Iterable[int]) -> list[int]:
    """Those of the seeds whose worlds were rendered; raises DataError when there is none."""
    present = [seed for seed in seeds if world_file(folder, seed).exists()]
    if not present:
        raise no_worlds(folder)
    return present


def load_world(folder: Path, family: str, seed: int, weight: float = 1.0) -> Clips:
    """A rendered world as a clip that is drawn as often as `weight` says; raises DataError."""
    arrays = read_world(world_file(folder, seed), family)
    height, width = arrays["depth"].shape[1:]
    camera = np.array([[arrays["focal"], (width - 1) / 2, (height - 1) / 2]], np.float32)
    colour, depth, pose = (arrays[column][None] for column in ("colour", "depth", "T_world_camera"))
    return Clips(np.array([f"{family}:{seed}"]), np.array([weight]), colour, depth, pose, camera, np.array([True]))


def read_world(file: Path, family: str) -> Arrays:
    """What `render_world_file` wrote; raises DataError for a file that is damaged or of another family."""
    arrays, found = read_arrays(file)
    if found != family:
        raise DataError(
            f"{file} is a world of the family '{found}', not '{family}': name the family of these worlds in "
            "--curriculum, or as --data the folder that holds a folder of each family"
        )
    return arrays

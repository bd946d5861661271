"""What a layout of files is, and what the readers of all layouts share."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slam3r_lab.sequences.sequence import DepthFormat, ImageSequence, SequenceFrame
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import orthonormal
from slam3r_ros.io.sources.base import rate_of, stamp_at

Pose = NDArray[np.float64]
ROTATION_TOLERANCE = 1e-2
"""Largest element of R R^T - 1 of a matrix that counts as a pose."""
EXACT = 1e-9
"""The same of one that is taken as it is."""


class Layout(ABC):
    """One way in which sequences lie on disk."""

    name: str
    files: str
    """The files it is known by, for messages."""

    @abstractmethod
    def fits(self, folder: Path) -> bool:
        """Whether the folder holds one sequence of this layout."""

    @abstractmethod
    def read(self, folder: Path) -> ImageSequence:
        """The sequence. Raises SequenceError when it has no images; what else is missing or wrong is in `problems`."""


def assemble(
    layout: str,
    folder: Path,
    images: Sequence[Path],
    depths: Sequence[Path | None],
    poses: Sequence[Pose | None],
    *,
    camera: Camera | None,
    stamps_ns: Sequence[int] | None = None,
    rate_hz: float = 30.0,
    depth_format: DepthFormat | None = None,
    problems: Sequence[str] = (),
) -> ImageSequence:
    """A sequence from what a reader found, an entry of each list an image; notes what is missing.

    stamps_ns: increasing; None where the layout has none: they then count from 0 at ``rate_hz``.
    """
    stamps = [stamp_at(index, rate_hz) for index in range(len(images))] if stamps_ns is None else list(stamps_ns)
    found = list(problems)
    checked = [_checked(pose) for pose in poses]
    wrong = sum(pose is not None and good is None for pose, good in zip(poses, checked, strict=True))
    if wrong:
        found.append(f"{wrong} true poses left out: not finite, or no rotation")
    found += _missing("depth", [depth is not None for depth in depths])
    found += _missing("true pose", [pose is not None for pose in checked])
    if camera is None:
        found.append("no intrinsics: depth cannot be used, so there is no true cloud")
    rows = zip(images, depths, checked, stamps, strict=True)
    frames = tuple(SequenceFrame(i, stamp, image, depth, pose) for i, (image, depth, pose, stamp) in enumerate(rows))
    name = folder.resolve().name
    sequence = ImageSequence(
        name, layout, frames, camera, depth_format or DepthFormat(), rate_of(stamps) if stamps_ns else rate_hz
    )
    for problem in found:
        sequence.report(problem)
    return sequence


def number_of(path: Path) -> int | None:
    """The last run of digits of a file's name, without its suffixes."""
    digits = re.findall(r"[0-9]+", path.name.split(".")[0])
    return int(digits[-1]) if digits else None


def numbering_problems(images: Sequence[Path]) -> list[str]:
    """A sentence where the numbers of the names have gaps: their steps are not all the same."""
    numbers = [number for number in map(number_of, images) if number is not None]
    steps = [b - a for a, b in pairwise(numbers)]
    if len(numbers) < len(images) or len(set(steps)) <= 1 or min(steps) < 1:
        return []
    usual = min(steps)
    after = next(number for number, step in zip(numbers, steps, strict=False) if step > usual)
    return [f"numbering has gaps: {sum(step > usual for step in steps)}, the first after number {after}"]


def nearest_in_time(wanted_ns: Sequence[int], stamps_ns: Sequence[int], largest_difference_ns: int) -> list[int | None]:
    """For each wanted stamp the position of the nearest of ``stamps_ns`` (any order), None where all are too far."""
    if not stamps_ns:
        return [None] * len(wanted_ns)
    order = np.argsort(np.array(stamps_ns, dtype=np.int64), kind="stable")
    stamps, wanted = np.array(stamps_ns, dtype=np.int64)[order], np.array(wanted_ns, dtype=np.int64)
    after = np.searchsorted(stamps, wanted).clip(0, len(stamps) - 1)
    before = (after - 1).clip(0)
    nearest = np.where(np.abs(stamps[before] - wanted) <= np.abs(stamps[after] - wanted), before, after)
    near_enough = np.abs(stamps[nearest] - wanted) <= largest_difference_ns
    return [int(order[n]) if good else None for n, good in zip(nearest, near_enough, strict=True)]


def _checked(pose: Pose | None) -> Pose | None:
    """The pose, None where it is none. A rotation that has become inexact, as those of 7-Scenes have, which shrink
    lengths by up to 2e-4, becomes the nearest exact one.
    """
    if pose is None or pose.shape != (4, 4) or not np.isfinite(pose).all():
        return None
    rotation = pose[:3, :3]
    wrong = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if wrong >= ROTATION_TOLERANCE or np.linalg.det(rotation) <= 0:
        return None
    return pose if wrong < EXACT else orthonormal(pose)


def _missing(what: str, present: Sequence[bool]) -> list[str]:
    count = sum(not here for here in present)
    if not count:
        return []
    if count == len(present):
        return [f"no {what}"]
    return [f"{count} of {len(present)} images have no {what}, the first is image {list(present).index(False)}"]

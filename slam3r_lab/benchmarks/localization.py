"""How a camera is found in a map of before: ``slam3r_lab bench localization``, some minutes.

Each sequence is mapped into a map file. Then the engine begins with that file again and again, at random places: with
the same images, with the same images backwards, with darkened and noisy ones, and in rendered worlds on another path
through the same world. And with the images of the other sequences, which must never be found in this map. The table
goes to ``slam3r_lab/benchmarks/localization.md``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slam3r_lab.benchmarks.accuracy import protocol_for
from slam3r_lab.benchmarks.accuracy_sequences import (
    CACHE,
    DIFFICULTIES,
    FRAMES,
    RATE_HZ,
    SIZE,
    RenderedSequence,
    rendered_sequences,
    renderer_version,
)
from slam3r_lab.benchmarks.machine import BENCHMARKS
from slam3r_lab.benchmarks.report import measured_by
from slam3r_lab.evaluation.weights import choose_networks
from slam3r_lab.sequences.readers import open_sequence
from slam3r_lab.sequences.sequence import ImageSequence, SequenceFrame
from slam3r_lab.worlds.build import build_world
from slam3r_lab.worlds.family import family_of
from slam3r_lab.worlds.paths.choose import PathSettings, camera_path
from slam3r_lab.worlds.renderer import WorldRenderer, camera_from_field_of_view
from slam3r_lab.worlds.sequence_files import TEXELS_PER_METRE, write_sequence
from slam3r_ros.engine.slam import Slam
from slam3r_ros.geometry.se3 import Array, invert_rigid
from slam3r_ros.io.files import replacing
from slam3r_ros.map_file.errors import MapFileError
from slam3r_ros.map_file.facts import MapFacts
from slam3r_ros.map_file.loading import Loaded, read_map
from slam3r_ros.map_file.writer import MapFileWriter
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.types import Frame

WEIGHTS = "embedded"
LONGEST_S = 4.0
"""Seconds of video after which the camera counts as not found."""
FEWEST_FRAMES = 30
"""Frames that a start has at least, of recordings with few frames a second."""
LARGEST_ERROR = (0.5, 20.0)
"""Metres and degrees, against the map around there, beyond which a place is a false one."""
OTHER_PATH = 7
"""Added to the seed of a rendered sequence for another path through its world."""


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one start."""

    seconds: float | None
    """Seconds of video until the camera was found; None where it was not."""
    error_m: float = 0.0
    error_deg: float = 0.0

    @property
    def is_false(self) -> bool:
        """Whether the camera was found where it is not."""
        return self.seconds is not None and (self.error_m > LARGEST_ERROR[0] or self.error_deg > LARGEST_ERROR[1])


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """A sequence and its map."""

    sequence: ImageSequence
    loaded: Loaded
    networks: NetworkPair
    frames: Sequence[SequenceFrame]
    """The frames with a pose on the map and a true one."""
    poses: Array
    """(N, 4, 4) their poses on the map, scene units."""

    def errors(self, T_map: Array, T_true: Array) -> tuple[float, float]:
        """Metres and degrees by which a pose on the map is off, against the map's own frame nearest to it in truth."""
        true = np.stack([frame.T_world_camera for frame in self.frames if frame.T_world_camera is not None])
        nearest = int(np.linalg.norm(true[:, :3, 3] - T_true[:3, 3], axis=1).argmin())
        around = slice(max(0, nearest - 10), nearest + 11)
        lengths = [np.linalg.norm(np.diff(each[around, :3, 3], axis=0), axis=1).sum() for each in (true, self.poses)]
        here, there = invert_rigid(true[nearest]) @ T_true, invert_rigid(self.poses[nearest]) @ T_map
        apart = invert_rigid(here) @ there
        turned = np.degrees(np.arccos(np.clip((np.trace(apart[:3, :3]) - 1) / 2, -1, 1)))
        off = there[:3, 3] * lengths[0] / max(lengths[1], 1e-9) - here[:3, 3]
        return float(np.linalg.norm(off)), float(turned)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab bench localization``."""
    parser.description = __doc__
    parser.add_argument("--groups", nargs="*", choices=DIFFICULTIES, default=["medium"], help="rendered sequences")
    parser.add_argument("--sequences", nargs="+", default=[], type=Path, metavar="DIR", help="also these")
    parser.add_argument("--starts", type=int, default=20, help="in each sequence and way (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=BENCHMARKS / "localization.md")


def main(arguments: argparse.Namespace) -> int:
    """Measure sequence by sequence; the table holds what is done."""
    rendered = [each for group in arguments.groups for each in rendered_sequences(group)]
    cases: list[tuple[ImageSequence, ImageSequence | None]]
    cases = [(open_sequence(folder), other_path(which)) for which, folder in rendered]
    cases += [(open_sequence(folder), None) for folder in arguments.sequences]
    rows: list[tuple[str, str, list[Found]]] = []
    for number, (sequence, other) in enumerate(cases):
        with tempfile.TemporaryDirectory() as folder:
            mapped = map_sequence(sequence, Path(folder) / "map.slam3r")
        if mapped is None:
            print(f"{sequence.name}: no map", flush=True)
            continue
        others = [each for position, (each, _) in enumerate(cases) if position != number]
        for way, starts in _ways(sequence, other, others, arguments.starts):
            rows.append((sequence.name, way, [find(mapped, *start) for start in starts]))
            print(_line(*rows[-1]), flush=True)
            with replacing(arguments.out) as file:
                file.write(document(rows).encode())
    return 0


def map_sequence(sequence: ImageSequence, path: Path) -> Mapped | None:
    """Map a sequence into a file, and read that; None where it has no places."""
    networks = choose_networks(WEIGHTS)(sequence)
    slam = Slam(networks, protocol_for(WEIGHTS, sequence).settings())
    facts = MapFacts.of(networks, slam.settings)
    with MapFileWriter(path, facts) as writer:
        slam.on_update = writer.write
        for frame in sequence.frames:
            image = sequence.image(frame)
            slam.push(Frame(frame.stamp_ns, image, sequence.camera_of(image)))
        slam.flush()
        if writer.checkpoint().result() is None:
            return None
    try:
        loaded = read_map(slam, facts, path, extends=False)
    except MapFileError:
        return None
    of_stamp = {frame.stamp_ns: frame for frame in sequence.frames if frame.T_world_camera is not None}
    known = [pose for pose in slam.trajectory() if pose.stamp_ns in of_stamp]
    frames = [of_stamp[pose.stamp_ns] for pose in known]
    return Mapped(sequence, loaded, networks, frames, np.stack([pose.T_world_camera for pose in known]))


Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
Start = tuple[ImageSequence, Sequence[SequenceFrame], Change]
"""Frames of a sequence in the order in which they are shown, and how they are changed."""


def find(mapped: Mapped, sequence: ImageSequence, frames: Sequence[SequenceFrame], change: Change) -> Found:
    """Show images to an engine that has the map, until the camera is found in it."""
    slam = Slam(mapped.networks, protocol_for(WEIGHTS, sequence).settings())
    slam.load(mapped.loaded.map)
    period_ns = round(1e9 / sequence.rate_hz)
    for count, frame in enumerate(frames, start=1):
        image = change(sequence.image(frame))
        slam.push(Frame(count * period_ns, image, sequence.camera_of(image)))
        if slam.is_localized:
            break
    else:
        slam.flush()
    if not slam.is_localized:
        return Found(None)
    if sequence.name.removesuffix(_OTHER) != mapped.sequence.name:
        return Found(count / sequence.rate_hz, float("inf"), float("inf"))
    pose = slam.trajectory()[-1]
    T_true = frames[pose.stamp_ns // period_ns - 1].T_world_camera
    assert T_true is not None
    return Found(count / sequence.rate_hz, *mapped.errors(pose.T_world_camera, T_true))


def other_path(which: RenderedSequence) -> ImageSequence:
    """Another path through the world of a rendered sequence, rendered once and kept."""
    folder = CACHE / renderer_version() / f"{which.name}{_OTHER}"
    if not (folder / "complete").exists():
        family = family_of(which.family)
        world = build_world(which.seed, family, TEXELS_PER_METRE, "cpu")
        poses = camera_path(world, which.seed + OTHER_PATH, PathSettings(FRAMES, RATE_HZ), family)
        renderer = WorldRenderer(world, camera_from_field_of_view(world.field_of_view, *SIZE), None, "cpu")
        write_sequence(renderer.render(poses), RATE_HZ, folder)
        (folder / "complete").touch()
    return open_sequence(folder)


_OTHER = "-other-path"
"""What the name of a sequence on another path ends with."""


def _ways(
    sequence: ImageSequence, other: ImageSequence | None, others: Sequence[ImageSequence], count: int
) -> Iterator[tuple[str, list[Start]]]:
    """The ways to look for a camera, with the starts of each."""
    random = np.random.default_rng(19)
    yield "same images", _starts(sequence, count, random, 1, _as_it_is)
    yield "backwards", _starts(sequence, count, random, -1, _as_it_is)
    yield "darker, noisy", _starts(sequence, count, random, 1, _darkened)
    if other is not None:
        yield "another path", _starts(other, count, random, 1, _as_it_is)
    elsewhere = [start for each in others for start in _starts(each, -(-count // len(others)), random, 1, _as_it_is)]
    if elsewhere:
        yield "another place", elsewhere


def _starts(sequence: ImageSequence, count: int, random: np.random.Generator, step: int, change: Change) -> list[Start]:
    length = min(max(FEWEST_FRAMES, round(LONGEST_S * sequence.rate_hz)), len(sequence))
    firsts = random.integers(0, len(sequence) - length + 1, count)
    return [(sequence, sequence.frames[first : first + length][::step], change) for first in firsts]


def _as_it_is(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image


def _darkened(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image of half the light, with the noise of a camera (a standard deviation of 4 grey levels)."""
    noise = np.random.default_rng(int(image[::7, ::7].sum())).normal(0, 4, image.shape)
    return np.clip(0.5 * image + noise, 0, 255).astype(np.uint8)


def document(rows: Sequence[tuple[str, str, list[Found]]]) -> str:
    """The whole file."""
    ways = list(dict.fromkeys(way for _, way, _ in rows))
    together = [("**all**", way, [each for _, of, found in rows if of == way for each in found]) for way in ways]
    lines = [
        "# How a camera is found in a map of before",
        "",
        measured_by(),
        "",
        "Each start is a camera in an unknown place of a loaded map; known intrinsics, embedded weights. Found:",
        f"within {LONGEST_S:.0f} s of video, at least {FEWEST_FRAMES} frames. False: more than {LARGEST_ERROR[0]} m or "
        f"{LARGEST_ERROR[1]:.0f} degrees from",
        "where the map's own poses near there say, and all that is found of another place.",
        "",
        "| sequence | way | starts | found % | median s to find | within 1 s % | median error cm | false |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
        *(_line(*row) for row in [*rows, *together]),
    ]
    return "\n".join(lines) + "\n"


def _line(name: str, way: str, found: Sequence[Found]) -> str:
    times = [each.seconds for each in found if each.seconds is not None]
    errors = [100 * each.error_m for each in found if each.seconds is not None]
    share, soon = len(times) / max(1, len(found)), sum(time <= 1 for time in times) / max(1, len(found))
    median, error = (f"{np.median(values):.1f}" if values else "-" for values in (times, errors))
    false = sum(each.is_false for each in found)
    return f"| {name} | {way} | {len(found)} | {100 * share:.0f} | {median} | {100 * soon:.0f} | {error} | {false} |"

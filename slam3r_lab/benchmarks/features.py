"""Which features recognise a place from other directions and in other light: ``slam3r_lab bench features``, minutes.

Pairs of views of rendered worlds and of recorded sequences (``--sequences``), of the same place and of different ones,
go through the engine's verification of loops with each kind of features. ``--external FILE`` adds features of a Python
file outside of this repository. The table goes to ``slam3r_lab/benchmarks/features.md``.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from slam3r_lab.benchmarks.features_cases import (
    DEPTH_NOISE,
    OTHER_PLACE,
    TWINS,
    Pair,
    View,
    foreign_pairs,
    known_depths,
    recorded_pairs,
    recorded_views,
    rendered_pairs,
    twin_pairs,
)
from slam3r_lab.benchmarks.features_ways import WAYS, Way, external_ways
from slam3r_lab.benchmarks.machine import BENCHMARKS
from slam3r_lab.benchmarks.report import measured_by
from slam3r_lab.sequences.readers import open_sequence
from slam3r_ros.geometry.crop import CropRegion
from slam3r_ros.geometry.se3 import Array, invert_rigid, vector_from_rotation
from slam3r_ros.io.files import replacing
from slam3r_ros.loop_closure.place import Place, PlaceView, describe_place
from slam3r_ros.loop_closure.verification import verify_loop
from slam3r_ros.vision.feature_image import FeatureImage, normalized_xy
from slam3r_ros.vision.relative_pose import estimate_relative_pose

WORLDS = ((30_010, "rooms"), (30_011, "rooms"), (30_012, "rooms"), (30_000, "narrow"), (30_020, "wide"))
"""Seed and family of the rendered worlds, which no training touches."""
MOST_PAIRS = 8
"""Pairs of each group of a world or a sequence."""
RECORDED_VIEWS = 60
RIGHT_DEGREES, RIGHT_SHARE = 5.0, 0.1
"""A relative pose is right within so many degrees and within this share of the median depth."""
CONFIDENCE = 4.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One pair with one kind of features."""

    source: str
    group: str
    is_same: bool
    is_pose_right: bool
    """Whether the matched features alone give the right relative pose."""
    is_accepted: bool
    """Whether the loop is verified."""
    is_right: bool
    """Whether it is verified, and right."""
    seconds: float
    """Of the comparison."""


@dataclass(frozen=True, slots=True)
class WayResult:
    """All pairs with one kind of features."""

    way: str
    outcomes: tuple[Outcome, ...]
    detect_ms: float
    """To find the features of a keyframe, median."""

    def of(self, source: str, group: str) -> list[Outcome]:
        """The outcomes of one group."""
        return [each for each in self.outcomes if (each.source, each.group) == (source, group)]

    @property
    def compare_ms(self) -> float:
        """To compare two keyframes, median."""
        return 1e3 * float(np.median([each.seconds for each in self.outcomes]))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab bench features``."""
    parser.description = __doc__
    parser.add_argument("--worlds", type=int, default=len(WORLDS), help="number of rendered worlds")
    parser.add_argument("--sequences", nargs="*", default=[], type=Path, metavar="DIR", help="with depth and poses")
    parser.add_argument("--external", type=Path, metavar="FILE", help="features of a Python file")
    parser.add_argument("--ways", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--out", type=Path, default=BENCHMARKS / "features.md")


def main(arguments: argparse.Namespace) -> int:
    """Measure one kind of features after the other; the table holds what is done."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pairs = all_pairs(WORLDS[: arguments.worlds], arguments.sequences)
    print(f"{len(pairs)} pairs", flush=True)
    ways = WAYS if arguments.external is None else WAYS + external_ways(arguments.external)
    results: list[WayResult] = []
    for way in ways:
        if arguments.ways and way.name not in arguments.ways:
            continue
        results.append(measure(way, pairs))
        with replacing(arguments.out) as file:
            file.write(document(results).encode())
        print(_line(results[-1], _groups(results)), flush=True)
    return 0


def all_pairs(worlds: Sequence[tuple[int, str]], folders: Sequence[Path]) -> list[Pair]:
    """The pairs of all worlds and sequences, between them, and twins."""
    rendered = [rendered_pairs(seed, family, MOST_PAIRS) for seed, family in worlds]
    recorded = [recorded_views(open_sequence(folder), RECORDED_VIEWS) for folder in folders]
    pairs = [pair for each in (*rendered, *(recorded_pairs(views, MOST_PAIRS) for views in recorded)) for pair in each]
    views = [[pair.before for pair in each[:MOST_PAIRS]] for each in rendered]
    for one, other in itertools.pairwise(views):
        pairs += foreign_pairs("rendered", one, other, MOST_PAIRS)
    for one, other in itertools.pairwise(recorded):
        pairs += foreign_pairs("real", one, other, MOST_PAIRS)
    mixed = [view for each in itertools.zip_longest(*views) for view in each if view is not None]
    posters = [_poster(view) for each in (recorded or views) for view in each[:: max(1, len(each) // 4)]]
    return pairs + list(twin_pairs(mixed, posters))


def _poster(view: View) -> NDArray[np.uint8]:
    """The middle of a picture, square."""
    side = min(view.image.shape[:2])
    top, left = ((length - side) // 2 for length in view.image.shape[:2])
    return view.image[top : top + side, left : left + side]


def measure(way: Way, pairs: Sequence[Pair]) -> WayResult:
    """Verify all pairs with one kind of features."""
    places: dict[int, Place] = {}
    seconds: list[float] = []

    def place_of(view: View) -> Place:
        if id(view) not in places:
            began = time.process_time()
            grey = np.asarray(cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY), np.uint8)
            image = FeatureImage(grey, view.camera.matrix, _crop(view))
            image = image.with_features(way.detect(image.grey))
            seconds.append(time.process_time() - began)
            places[id(view)] = describe_place(_place_view(view, image, len(places)), way.place_features)
        return places[id(view)]

    outcomes = [compare(way, pair, place_of(pair.before), place_of(pair.after)) for pair in pairs]
    return WayResult(way.name, tuple(outcomes), 1e3 * float(np.median(seconds)))


def _crop(view: View) -> CropRegion:
    height, width = view.image.shape[:2]
    side = min(height, width)
    return CropRegion.of((height, width), (side, side))


def _place_view(view: View, image: FeatureImage, number: int) -> PlaceView:
    depths = known_depths(view, number)
    points = image.rays((depths.shape[0], depths.shape[1])) * depths[..., None]
    points = np.where(np.isfinite(depths)[..., None], points, 0).astype(np.float32)
    confidence = np.full(depths.shape, CONFIDENCE, np.float32)
    return PlaceView(number, np.zeros(1, np.float32), image, points, confidence, np.eye(4))


def compare(way: Way, pair: Pair, before: Place, after: Place) -> Outcome:
    """What verification says of one pair."""
    began = time.process_time()
    loop = verify_loop(before, after, way.match_ratio)
    seconds = time.process_time() - began
    known = np.isfinite(before.log_depths)
    depths = (normalized_xy(before, before.features.pixels[known]), before.log_depths[known])
    pose = estimate_relative_pose(before, after, depths, way.match_ratio)
    pose_right = pose is not None and is_right(pair, invert_rigid(pose.T_after_before))
    loop_right = loop is not None and is_right(pair, loop.T_before_after)
    return Outcome(pair.source, pair.group, pair.is_same, pose_right, loop is not None, loop_right, seconds)


def is_right(pair: Pair, T_before_after: Array) -> bool:
    """Whether a relative pose (4, 4) is that of a pair."""
    if not pair.is_same:
        return False
    true = invert_rigid(pair.before.T_world_camera) @ pair.after.T_world_camera
    turned = np.degrees(np.linalg.norm(vector_from_rotation(true[:3, :3].T @ T_before_after[:3, :3])))
    moved = np.linalg.norm(true[:3, 3] - T_before_after[:3, 3])
    return bool(turned <= RIGHT_DEGREES and moved <= RIGHT_SHARE * pair.before.median_depth)


# ---- the table ---------------------------------------------------------------------------------------------------


def document(results: Sequence[WayResult]) -> str:
    """The whole file."""
    groups = _groups(results)
    counts = [f"{source}, {group} ({len(results[0].of(source, group))})" for source, group in groups]
    lines = [
        "# Features for loops and relocalization",
        "",
        measured_by(),
        "",
        "Pairs of images, 640 x 480 where rendered, through the engine's verification of loops. Depths are known in",
        f"the centre square and err by {DEPTH_NOISE:.0%}. Of pairs of one place: the share in % whose loop is verified",
        f"with the right pose (within {RIGHT_DEGREES:g} degrees and {RIGHT_SHARE:.0%} of the depth), in brackets the",
        "share for which the features alone give that pose. Of different places, and of two in which the same picture",
        "hangs: the loops that are verified, which are all wrong. `wrong`: verified loops of one place with a wrong",
        "pose. In brackets in the head: numbers of pairs. Degrees: the angle between the directions of the two views.",
        "",
        "| features | " + " | ".join(counts) + " | wrong | ms a keyframe | ms a comparison |",
        "|---" + "|---:" * (len(counts) + 3) + "|",
    ]
    return "\n".join([*lines, *(_line(result, groups) for result in results)]) + "\n"


def _groups(results: Sequence[WayResult]) -> list[tuple[str, str]]:
    """Source and group of all pairs, same places first."""
    found = {(each.source, each.group): each.is_same for each in results[0].outcomes}
    return sorted(found, key=lambda key: (key[1] == TWINS, not found[key], key[0] == "real", _order(key[1])))


def _order(group: str) -> tuple[bool, int]:
    number = "".join(letter for letter in group if letter.isdigit())
    return group.startswith("light"), int(number or 0)


def _line(result: WayResult, groups: Sequence[tuple[str, str]]) -> str:
    def column(outcomes: Sequence[Outcome]) -> str:
        if outcomes[0].group in (OTHER_PLACE, TWINS):
            return str(sum(each.is_accepted for each in outcomes))
        right, pose = (100 * np.mean([getattr(o, name) for o in outcomes]) for name in ("is_right", "is_pose_right"))
        return f"{right:.0f} ({pose:.0f})"

    wrong = sum(each.is_same and each.is_accepted and not each.is_right for each in result.outcomes)
    columns = [column(result.of(*key)) for key in groups]
    columns += [str(wrong), f"{result.detect_ms:.0f}", f"{result.compare_ms:.1f}"]
    return f"| {result.way} | " + " | ".join(columns) + " |"

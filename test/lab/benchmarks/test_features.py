"""The benchmark of features: its pairs are what it says, and its verdicts follow the truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from plane_scene import MATRIX, SIDE, depths, image, pose

from slam3r_lab.benchmarks.features import document, is_right, measure
from slam3r_lab.benchmarks.features_cases import (
    OTHER_PLACE,
    TWINS,
    Pair,
    View,
    angle_between,
    common_share,
    direction_group,
    hung,
    in_other_light,
    known_depths,
)
from slam3r_lab.benchmarks.features_ways import WAYS, Way, engine_features, external_ways, orb, sift
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array, rigid, rotation_from_vector

CAMERA = Camera(SIDE, SIDE, MATRIX[0, 0], MATRIX[1, 1], MATRIX[0, 2], MATRIX[1, 2])


def view(T: Array) -> View:
    grey = image(T)
    return View(np.repeat(grey[..., None], 3, axis=2), np.asarray(depths(T), np.float32), CAMERA, T)


def wall(T: Array, distance: float = 2.0) -> View:
    """A grey wall straight ahead of the first camera."""
    return View(np.full((SIDE, SIDE, 3), 90, np.uint8), np.full((SIDE, SIDE), distance, np.float32), CAMERA, T)


def test_what_two_views_have_in_common_is_seen_by_their_depths() -> None:
    here = wall(np.eye(4))
    assert common_share(here, here) == 1.0
    half = SIDE / 2 / MATRIX[0, 0] * 2.0
    beside = wall(rigid(np.eye(3), [half, 0, 0]))
    assert common_share(here, beside) == pytest.approx(0.5, abs=0.06)
    assert common_share(here, replace(beside, depth=beside.depth * 1.2)) == 0.0, "the other sees something nearer"
    behind = wall(rigid(rotation_from_vector([0, np.pi, 0]), [0, 0, 0]))
    assert common_share(here, behind) == 0.0


@pytest.mark.parametrize(("degrees", "group"), [(0, "0 deg"), (22, "0 deg"), (23, "45 deg"), (170, "180 deg")])
def test_directions_are_grouped_by_the_angle_between_the_optical_axes(degrees: float, group: str) -> None:
    turned = rigid(rotation_from_vector([0, np.radians(degrees), 0]), [1, 2, 3])
    assert angle_between(np.eye(4), turned) == pytest.approx(degrees, abs=1e-4)
    assert direction_group(degrees) == group


def test_a_hung_picture_is_where_its_depth_says() -> None:
    random = np.random.default_rng(0)
    poster = random.integers(0, 255, (200, 200, 3), np.uint8)
    before = wall(np.eye(4), 5.0)
    after = hung(before, poster, random)
    is_poster = after.depth != before.depth
    assert 0.05 < is_poster.mean() < 0.8
    assert after.depth[is_poster].min() > 1.0 and after.depth[is_poster].max() < 2.2
    assert (after.image[~is_poster] == 90).all() and after.image[is_poster].std() > 20


def test_other_light_changes_the_picture_and_not_the_truth() -> None:
    before = view(pose(5))
    lit = in_other_light(before, np.random.default_rng(1))
    assert lit.shape == before.image.shape and lit.dtype == np.uint8
    assert np.abs(lit.astype(int) - before.image).mean() > 10
    assert known_depths(before, 3).shape == (112, 112)
    errors = np.log(known_depths(before, 3) / cv2.resize(before.depth, (112, 112), interpolation=cv2.INTER_NEAREST))
    assert 0.02 < errors.std() < 0.06


def test_a_pose_is_right_within_five_degrees_and_a_tenth_of_the_depth() -> None:
    pair = Pair("real", "0 deg", wall(np.eye(4)), wall(rigid(np.eye(3), [1, 0, 0])), True)
    assert is_right(pair, rigid(np.eye(3), [1.19, 0, 0])) and not is_right(pair, rigid(np.eye(3), [1.21, 0, 0]))
    for degrees, right in ((4.9, True), (5.1, False)):
        assert is_right(pair, rigid(rotation_from_vector([0, np.radians(degrees), 0]), [1, 0, 0])) is right
    assert not is_right(replace(pair, is_same=False), rigid(np.eye(3), [1, 0, 0]))


def test_the_table_counts_right_wrong_and_false_loops() -> None:
    same = Pair("real", "0 deg", view(pose(5)), view(pose(10)), True)
    other = Pair("real", OTHER_PLACE, view(pose(5)), wall(np.eye(4)), False)
    mistaken = replace(same, group=TWINS, is_same=False)
    result = measure(Way("engine", engine_features), [same, other, mistaken])
    assert [(o.is_accepted, o.is_right, o.is_pose_right) for o in result.outcomes] == [
        (True, True, True),
        (False, False, False),
        (True, False, False),
    ]
    last = document([result]).splitlines()[-1].split("|")
    assert [each.strip() for each in last[1:6]] == ["engine", "100 (100)", "0", "1", "0"]


@pytest.mark.parametrize(
    "way", [Way("SIFT", sift(320)), Way("RootSIFT", sift(320, root=True)), Way("ORB", orb(320), 0.9)]
)
def test_each_kind_of_features_finds_the_plane_scene_again(way: Way) -> None:
    pair = Pair("real", "0 deg", view(pose(5)), view(pose(10)), True)
    (outcome,) = measure(way, [pair]).outcomes
    assert outcome.is_pose_right


def test_features_come_from_a_file_outside(tmp_path: Path) -> None:
    file = tmp_path / "outside.py"
    file.write_text(
        "import numpy as np\n"
        "def detect(grey):\n"
        "    return np.zeros((1, 2), np.float32), np.full((1, 4), grey.shape[0] % 256, np.float32)\n"
        "WAYS = [('mine', detect, 0.7, 50)]\n"
    )
    (way,) = external_ways(file)
    assert (way.name, way.match_ratio, way.place_features) == ("mine", 0.7, 50)
    assert way.detect(np.zeros((30, 40), np.uint8)).descriptors.tolist() == [[30] * 4]
    assert len({each.name for each in WAYS}) == len(WAYS)

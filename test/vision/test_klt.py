from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from plane_scene import SIDE, image, pose

from slam3r_ros.vision import klt
from slam3r_ros.vision.klt import Grey, detect_corners, roughly_followed, track_corners, without_local_brightness
from slam3r_ros.vision.tuning import TUNING

NONE = np.empty((0, 2), np.float32)


def shifted(grey: Grey, x: float, y: float) -> Grey:
    size = (grey.shape[1], grey.shape[0])
    return np.asarray(cv2.warpAffine(grey, np.array([[1.0, 0, x], [0, 1, y]]), size, flags=cv2.INTER_CUBIC), np.uint8)


def test_corners_are_spread_and_new_ones_keep_away_from_those_taken() -> None:
    grey = image(pose(0))
    corners = detect_corners(grey, NONE)
    assert 80 < len(corners) <= (SIDE // TUNING.corner_cell_px) ** 2
    fresh = detect_corners(grey, corners[:60])
    distances = np.abs(fresh[:, None] - corners[None, :60]).max(axis=2).min(axis=1)
    assert len(fresh) <= len(corners) - 40
    # A third of a cell when it is chosen; then it is moved to the corner's middle, at most by 3 px, mostly by none.
    assert distances.min() > TUNING.corner_cell_px / 3 - 3
    assert np.quantile(distances, 0.02) > TUNING.corner_cell_px / 4
    assert len(detect_corners(np.full((SIDE, SIDE), 90, np.uint8), NONE)) == 0


def test_no_corner_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def doubled(corners: NDArray[np.float32]) -> int:
        distances = np.linalg.norm(corners[:, None] - corners[None], axis=2)
        return int((distances[np.triu_indices(len(corners), 1)] < 2).sum())

    greys = [image(pose(number)) for number in (0, 20, 60, 110)]
    assert all(doubled(detect_corners(grey, NONE)) == 0 for grey in greys)
    monkeypatch.setattr(
        klt, "TUNING", replace(TUNING, same_corner_px=1e-3)
    )  # as they were found, which is why it matters
    assert sum(doubled(detect_corners(grey, NONE)) for grey in greys) > 0


def test_corners_are_found_again_to_a_tenth_of_a_pixel() -> None:
    grey = image(pose(0))
    corners = detect_corners(grey, NONE)
    ends, found = track_corners(grey, shifted(grey, 3.3, -2.6), corners)
    assert found.mean() > 0.8
    errors = np.linalg.norm(ends[found] - corners[found] - [3.3, -2.6], axis=1)
    assert np.median(errors) < 0.1
    assert np.quantile(errors, 0.95) < 0.5


@pytest.mark.parametrize("shift", [(25.0, 0.0), (-18.0, 17.5), (0.0, -25.0)])
def test_corners_are_found_after_a_large_motion(shift: tuple[float, float]) -> None:
    grey = image(pose(0))
    corners = detect_corners(grey, NONE)
    ends, found = track_corners(grey, shifted(grey, *shift), corners)
    stay = ((corners + shift > 8) & (corners + shift < SIDE - 9)).all(axis=1)
    assert stay.mean() > 0.7
    assert found[stay].mean() > 0.9
    errors = np.linalg.norm(ends - corners - shift, axis=1)
    assert np.median(errors[found]) < 0.1
    assert (errors[found] > 1).mean() < 0.02  # those that left the image are not taken for others


def test_images_too_small_for_the_dense_flow_are_followed_without_it() -> None:
    grey = image(pose(0))[:28, :80].copy()
    corners = detect_corners(grey, NONE)
    assert len(corners) >= 8
    ends, found = track_corners(grey, shifted(grey, 1.4, -0.8), corners)
    assert found.mean() > 0.7
    assert np.median(np.linalg.norm(ends[found] - corners[found] - [1.4, -0.8], axis=1)) < 0.15


def test_what_is_not_there_is_not_found() -> None:
    grey = image(pose(0))
    corners = detect_corners(grey, NONE)
    covered = grey.copy()
    covered[:, : SIDE // 2] = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE // 2), dtype=np.uint8)
    _, found = track_corners(grey, covered, corners)
    hidden = corners[:, 0] < SIDE / 2 - 10
    assert found[~hidden & (corners[:, 0] > SIDE / 2 + 10)].mean() > 0.9
    assert found[hidden].mean() < 0.15
    assert track_corners(grey, np.zeros_like(grey), corners)[1].mean() < 0.1
    assert track_corners(grey, covered, NONE)[0].shape == (0, 2)


def test_errors_do_not_add_up_from_image_to_image() -> None:
    """Over forty noisy images, corners that end where they look as in their keyframe stay nearer to the truth."""
    random, first = np.random.default_rng(0), image(pose(0))

    def noisy(x: float) -> Grey:
        return np.asarray((shifted(first, x, 0) + random.normal(0, 8, first.shape)).clip(0, 255), np.uint8)

    keyframe = noisy(0)
    corners = detect_corners(keyframe, NONE)
    drifting, held, before = corners, corners, keyframe
    lives = np.ones(len(corners), np.bool_)
    for number in range(1, 41):
        after = noisy(0.25 * number)
        drifting, found = track_corners(before, after, drifting)
        held, also_found = track_corners(keyframe, after, corners, roughly_followed(before, after, held))
        lives &= found & also_found
        before = after
    errors = [np.median(np.linalg.norm(each[lives] - corners[lives] - [10, 0], axis=1)) for each in (drifting, held)]
    assert lives.sum() > 40
    assert errors[1] < 0.15 and errors[1] < 0.75 * errors[0]


def test_a_change_of_brightness_moves_no_corner() -> None:
    """A slope of grey levels, as by exposure and vignetting, drags corners along unless it is taken off."""
    grey = image(pose(0))
    corners = detect_corners(grey, NONE)
    slope = np.linspace(-45, 25, SIDE)[None, :]
    after = np.asarray((shifted(grey, 1.3, 0.6) + slope).clip(0, 255), np.uint8)
    errors = []
    for before, changed in ((grey, after), (without_local_brightness(grey), without_local_brightness(after))):
        ends, found = track_corners(before, changed, corners)
        errors.append(np.quantile(np.linalg.norm(ends[found] - corners[found] - [1.3, 0.6], axis=1), 0.8))
    assert errors[1] < 0.1 and errors[1] < 0.5 * errors[0]


def test_a_large_image_has_as_many_corners_as_a_small_one() -> None:
    grey = image(pose(0))
    large = np.asarray(cv2.resize(grey, None, fx=2.5, fy=2.5, interpolation=cv2.INTER_CUBIC), np.uint8)
    few, many = len(detect_corners(grey, NONE)), len(detect_corners(large, NONE))
    assert many == pytest.approx(few, rel=0.25)
    shift = np.array([31.0, -12.0])  # far more than the window of Lucas and Kanade's method
    corners = detect_corners(large, NONE)
    ends, found = track_corners(large, shifted(large, *shift), corners)
    assert found.mean() > 0.7
    assert np.median(np.linalg.norm(ends[found] - corners[found] - shift, axis=1)) < 0.1

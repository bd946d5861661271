from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from plane_scene import SIDE, image, pose

from slam3r_ros.vision import klt
from slam3r_ros.vision.klt import Grey, detect_corners, track_corners
from slam3r_ros.vision.tuning import TUNING

NONE = np.empty((0, 2), np.float32)


def shifted(grey: Grey, x: float, y: float) -> Grey:
    size = (grey.shape[1], grey.shape[0])
    return np.asarray(cv2.warpAffine(grey, np.array([[1, 0, x], [0, 1, y]]), size, flags=cv2.INTER_CUBIC), np.uint8)


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

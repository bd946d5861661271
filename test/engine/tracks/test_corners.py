import cv2
import numpy as np
from plane_scene import SIDE, image, pose

from slam3r_ros.engine.tracks.corners import CELL_PX, find_corners, follow

NONE = np.empty((0, 2), np.float32)


def test_corners_are_spread_and_new_ones_keep_away_from_those_taken() -> None:
    grey = image(pose(0))
    corners = find_corners(grey, NONE)
    assert 80 < len(corners) <= (SIDE // CELL_PX) ** 2
    fresh = find_corners(grey, corners[:60])
    distances = np.abs(fresh[:, None] - corners[None, :60]).max(axis=2)
    assert len(fresh) <= len(corners) - 40
    assert distances.min() > CELL_PX / 4
    assert len(find_corners(np.full((SIDE, SIDE), 90, np.uint8), NONE)) == 0


def test_corners_are_found_again_to_a_tenth_of_a_pixel() -> None:
    grey = image(pose(0))
    corners = find_corners(grey, NONE)
    shifted = cv2.warpAffine(grey, np.array([[1.0, 0, 3.3], [0, 1, -2.6]]), (SIDE, SIDE), flags=cv2.INTER_CUBIC)
    ends, found = follow(grey, shifted, corners)
    assert found.mean() > 0.8
    errors = np.linalg.norm(ends[found] - corners[found] - [3.3, -2.6], axis=1)
    assert np.median(errors) < 0.1
    assert np.quantile(errors, 0.95) < 0.5


def test_what_is_not_there_is_not_found() -> None:
    grey = image(pose(0))
    corners = find_corners(grey, NONE)
    covered = grey.copy()
    covered[:, : SIDE // 2] = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE // 2), dtype=np.uint8)
    _, found = follow(grey, covered, corners)
    hidden = corners[:, 0] < SIDE / 2 - 10
    assert found[~hidden & (corners[:, 0] > SIDE / 2 + 10)].mean() > 0.9
    assert found[hidden].mean() < 0.15
    assert follow(grey, np.zeros_like(grey), corners)[1].mean() < 0.1
    assert follow(grey, covered, NONE)[0].shape == (0, 2)

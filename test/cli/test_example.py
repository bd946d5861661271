"""The clip that the demo plays: images, stamps, camera and truth belong together."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from slam3r_ros.io.sources import open_source
from slam3r_ros.io.sources.example import EXAMPLE
from slam3r_ros.io.tum import read_trajectory


def test_the_example_has_a_pose_and_a_camera_for_every_image() -> None:
    with open_source(str(EXAMPLE)) as source:
        frames = list(source)
        assert (source.length, source.rate_hz, source.problems) == (300, pytest.approx(30.0, rel=1e-4), [])
    poses = read_trajectory(EXAMPLE / "poses.txt")
    assert [frame.stamp_ns for frame in frames] == [pose.stamp_ns for pose in poses]
    assert all(frame.image.shape == (480, 640, 3) and frame.camera == frames[0].camera for frame in frames)
    assert frames[0].camera is not None and frames[0].camera.fx == pytest.approx(431.297096)


def test_the_images_of_the_example_move_as_its_truth_says() -> None:
    """Corners tracked from one image to another obey the epipolar constraint of the true poses of just these images."""
    poses = [pose.T_world_camera for pose in read_trajectory(EXAMPLE / "poses.txt")]
    with open_source(str(EXAMPLE)) as source:
        frames = [frame for number, frame in enumerate(source) if number in (100, 105, 110, 115)]
    K = frames[0].camera.matrix
    grey = [cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY) for frame in frames]
    corners = cv2.goodFeaturesToTrack(grey[0], 300, 0.01, 8)
    found, status, _ = cv2.calcOpticalFlowPyrLK(grey[0], grey[1], corners, None)
    tracked = status.ravel() == 1

    def median_error_px(first: int, second: int) -> float:
        """Median distance of the corners from the epipolar lines of these poses (Hartley and Zisserman, 9.2)."""
        T = np.linalg.inv(poses[second]) @ poses[first]
        x, y, z = T[:3, 3]
        essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ T[:3, :3]
        inverse = np.linalg.inv(K)
        start, end = (np.c_[each.reshape(-1, 2)[tracked], np.ones(tracked.sum())] for each in (corners, found))
        lines = start @ (inverse.T @ essential @ inverse).T
        return float(np.median(np.abs((lines * end).sum(axis=1)) / np.linalg.norm(lines[:, :2], axis=1)))

    assert tracked.sum() > 100
    assert median_error_px(100, 105) < 0.5
    assert median_error_px(100, 105) < 0.5 * min(median_error_px(100, 103), median_error_px(100, 107))

"""The topic benchmark's camera and its table."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from slam3r_lab.benchmarks.topic import CASES, Latency, Measured, _compare, topic_table
from slam3r_lab.benchmarks.topic_camera import Reel, Sent, camera_message, sized
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.io.image_decoding import decode_compressed, decode_message
from slam3r_ros.ros.tools.recorder import ReceivedMessage


def test_an_image_of_another_shape_keeps_its_centre_and_its_proportions() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    cv2.circle(image, (32, 24), 8, (255, 255, 255), -1)
    wide = sized(image, (192, 108))
    assert wide.shape == (108, 192, 3)
    rows, columns = np.nonzero(wide[..., 0] > 127)
    assert (rows.mean(), columns.mean()) == pytest.approx((54, 96), abs=2)
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=2)


@pytest.mark.parametrize("compressed", [False, True])
def test_the_camera_plays_its_video_to_and_fro(tmp_path: Path, compressed: bool) -> None:
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((12, 16, 3), 50 * number, np.uint8))
    reel = Reel.of(tmp_path, (16, 12), compressed)
    assert reel.camera is None
    shown = [reel.images[image] for image in itertools.islice(reel.order(), 9)]
    decoded = [decode_compressed(m.data) if compressed else decode_message(m) for m in shown]
    assert [round(float(image.mean()) / 50) for image in decoded] == [0, 1, 2, 3, 2, 1, 0, 1, 2]


def test_the_table_has_a_row_for_each_camera() -> None:
    arrived = [ReceivedMessage(0, number * 10**6, "map") for number in range(101)]
    measured = Measured(
        sent=Sent(240, 8.0, 0, 0.2), received=239, lost_in_transport=1, dropped=9, refused=0, processed=230,
        processed_per_second=28.8, poses_per_second=28.5, keyframes_per_second=3.2, thinned=4, error_percent=0.1,
        error_cm=0.52, pose=Latency.of(arrived), pose_later=Latency.of(arrived[:51]), cloud=Latency.of([]),
        effective_stride=2.9, stride=3, cpu=1.0, memory_mib=500, stage_ms={}, load=1.0, settled="TRACKING",
    )  # fmt: skip
    assert len({str(case) for case in CASES}) == 12
    row = topic_table({str(CASES[1]): measured})[-1]
    camera = "| 640x480 raw 30 Hz | 28.8 | 28.5 |"
    rest = "| none | 0.5, 0.10 | 3.2; 4 | 240: 1, 9, 0 | 3, 2.9 | 1.00 | 500 | 1.0 |"
    assert row == f"{camera} 50, 95, 99 | 25, 48, 50 {rest}"


def test_the_published_poses_are_compared_with_those_of_the_images_shown(tmp_path: Path) -> None:
    """The poses are the true ones at half the size; the third image is shown twice, forth and back."""
    positions = [(0.0, 0.0, 0.0), (0.2, 0.0, 0.0), (0.4, 0.3, 0.0)]
    lines = [f"{number} {x} {y} {z} 0 0 0 1" for number, (x, y, z) in enumerate(positions)]
    (tmp_path / "poses.txt").write_text("\n".join(lines))
    shown = [(10, 0), (20, 1), (30, 2), (40, 1)]
    poses = [ReceivedMessage(stamp, stamp, "map", np.eye(4)) for stamp, _ in shown]
    for pose, (_, image) in zip(poses, shown, strict=True):
        assert pose.T_parent_camera is not None
        pose.T_parent_camera[:3, 3] = np.array(positions[image]) / 2
    found = _compare(poses, tmp_path, shown)
    assert found is not None and found.rmse_m == pytest.approx(0.0, abs=1e-9) and found.compared == 4
    poses[1] = ReceivedMessage(20, 20, "map", np.eye(4))
    off = _compare(poses, tmp_path, shown)
    assert off is not None and off.rmse_m > 0.01
    assert _compare(poses, tmp_path / "elsewhere" / "rgb.mp4", shown) is None


def test_the_intrinsics_fit_the_published_size() -> None:
    camera = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
    half = camera_message(camera, (320, 240))
    assert half is not None and (half.width, half.height) == (320, 240)
    assert list(half.k) == pytest.approx([250, 0, 159.5, 0, 250, 119.5, 0, 0, 1])
    assert camera_message(camera, (1920, 1080)) is None and camera_message(None, (320, 240)) is None

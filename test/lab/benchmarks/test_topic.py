"""The topic benchmark's camera and its table."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from slam3r_lab.benchmarks.topic import CASES, Latency, Measured, topic_table
from slam3r_lab.benchmarks.topic_camera import Sent, messages, sized
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
    stream = itertools.islice(messages(tmp_path, (16, 12), compressed), 9)
    decoded = [decode_compressed(m.data) if compressed else decode_message(m) for m in stream]
    assert [round(float(image.mean()) / 50) for image in decoded] == [0, 1, 2, 3, 2, 1, 0, 1, 2]


def test_the_table_has_a_row_for_each_camera() -> None:
    arrived = [ReceivedMessage(0, number * 10**6, "map") for number in range(101)]
    measured = Measured(
        sent=Sent(240, 8.0, 0, 0.2), received=239, lost_in_transport=1, dropped=9, refused=0, processed=230,
        processed_per_second=28.8, pose=Latency.of(arrived), pose_later=Latency.of(arrived[:51]), cloud=Latency.of([]),
        effective_stride=2.9, stride=3, cpu=1.0, memory_mib=500, stage_ms={}, load=1.0, settled="TRACKING",
    )  # fmt: skip
    assert len({str(case) for case in CASES}) == 12
    row = topic_table({str(CASES[1]): measured})[-1]
    camera, rest = "| 640x480 raw 30 Hz | 28.8 |", "| none | 240: 1, 9, 0 | 3, 2.9 | 1.00 | 500 | 1.0 |"
    assert row == f"{camera} 50, 95, 99 | 25, 48, 50 {rest}"

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slam3r_lab.benchmarks.loops import Row, document, out_and_back, reordered, with_jump
from slam3r_lab.sequences.sequence import ImageSequence, SequenceFrame


def test_out_and_back_sees_every_image_but_the_last_twice() -> None:
    order = out_and_back(5)
    assert order == [0, 1, 2, 3, 4, 3, 2, 1, 0]


def test_a_jump_goes_back_to_images_seen_before() -> None:
    order = with_jump(20)
    steps = np.diff(order)
    assert (steps == 1).sum() == len(steps) - 1 and steps.min() == -10
    assert max(order) < 15


def test_reordered_images_keep_their_truth_and_get_increasing_stamps() -> None:
    frames = tuple(
        SequenceFrame(number, 7 * number, Path(f"{number}.png"), None, np.eye(4) * number) for number in range(4)
    )
    sequence = reordered(ImageSequence("name", "layout", frames, None, rate_hz=10.0), out_and_back(4))
    assert [frame.stamp_ns for frame in sequence.frames] == [number * 100_000_000 for number in range(7)]
    assert [frame.image_path.stem for frame in sequence.frames] == ["0", "1", "2", "3", "2", "1", "0"]
    assert sequence.frames[-1].T_world_camera is frames[0].T_world_camera


def test_the_table_has_both_figures_of_every_sequence_and_means() -> None:
    rows = [
        ("jump", name, Row(50.0, ate, 9.0, 8.0), Row(100.0, ate / 4, 7.0, 6.0)) for name, ate in (("a", 4), ("b", 8))
    ]
    text = document(rows)
    assert "| jump | a | 50 -> 100 | 4.00 -> 1.00 | 9.0 -> 7.0 | 8.0 -> 6.0 |" in text
    assert "| jump | **mean** | 50 -> 100 | 6.00 -> 1.50 |" in text


@pytest.mark.parametrize("count", [2, 3, 90])
def test_orders_begin_at_the_beginning(count: int) -> None:
    assert out_and_back(count)[0] == 0 and with_jump(max(count, 4))[0] == 0

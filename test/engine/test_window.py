from dataclasses import replace

import numpy as np
import pytest
from synthetic import textured_image

from slam3r_ros.engine.encoder import Encoder
from slam3r_ros.engine.ring_buffer import RingBuffer
from slam3r_ros.engine.window import RegistrationSchedule, build_window, complete_until, neighbours, oldest_needed
from slam3r_ros.networks.weights import Networks
from slam3r_ros.types import EncodedFrame, Frame


@pytest.fixture
def ring(tiny_networks: Networks) -> RingBuffer:
    """Frames 0 to 9."""
    encoder, ring = Encoder(tiny_networks.i2p), RingBuffer()
    for index in range(10):
        ring.append(EncodedFrame.numbered(encoder.encode([Frame(index, textured_image(index))]), index)[0])
    return ring


@pytest.mark.parametrize(
    ("index", "stride", "radius", "members"),
    [
        (5, 1, 1, [4, 6]),
        (5, 2, 2, [3, 7, 1, 9]),
        (0, 2, 2, [2, 4]),
        (9, 3, 2, [6, 3]),
        (4, 20, 3, [3]),
        (0, 20, 3, [1]),
    ],
)
def test_a_window_has_the_members_that_are_inside_the_stream(
    ring: RingBuffer, index: int, stride: int, radius: int, members: list[int]
) -> None:
    window = build_window(ring, index, stride, radius)
    assert window.reference.index == index
    assert [source.index for source in window.sources] == members


def test_the_ring_holds_consecutive_frames_and_lets_go_of_old_ones(ring: RingBuffer) -> None:
    with pytest.raises(ValueError, match="expected frame 10, got 3"):
        ring.append(ring[3])
    ring.discard_before(7)
    assert (ring.oldest, ring.newest, len(ring)) == (7, 9, 3)
    with pytest.raises(IndexError, match="frame 6"):
        ring[6]


def ring_of(ring: RingBuffer, source_indices: list[int]) -> RingBuffer:
    """Frames that have these numbers in the camera's stream, which the images between were left out of."""
    sparse = RingBuffer()
    for index, source_index in enumerate(source_indices):
        sparse.append(replace(ring[0], index=index, source_index=source_index))
    return sparse


def numbers(ring: RingBuffer, indices: list[int]) -> list[int]:
    return [ring[index].source_index for index in indices]


@pytest.mark.parametrize(
    ("source_indices", "expected"),
    [
        (list(range(31)), [27, 24, 21, 18]),  # nothing left out
        (list(range(0, 31, 2)), [26, 24, 20, 18]),  # every second image
        (list(range(0, 31, 3)), [27, 24, 21, 18]),
        (list(range(0, 31, 5)), [25, 20, 15, 10]),  # slower than the stride: the nearest frames there are
        ([*range(12), 30], [11, 9, 7, 5]),  # after a gap: frames that differ, not the last ones before it
        ([*range(25), 30], [24, 22, 20, 18]),
        ([20, 30], [20]),
    ],
)
def test_a_window_spans_the_same_time_when_images_are_left_out(
    ring: RingBuffer, source_indices: list[int], expected: list[int]
) -> None:
    sparse = ring_of(ring, source_indices)
    assert numbers(sparse, neighbours(sparse, sparse.newest, -3, 4)) == expected


def test_later_members_are_found_as_earlier_ones_are(ring: RingBuffer) -> None:
    sparse = ring_of(ring, list(range(0, 31, 2)))
    assert numbers(sparse, neighbours(sparse, 0, 3, 4)) == [2, 6, 8, 12]
    assert [frame.source_index for frame in build_window(sparse, 5, 3, 2).sources] == [6, 12, 4, 16]
    assert complete_until(sparse, stride=3, lookahead=2) == 12  # image 24, six before the newest
    assert complete_until(sparse, stride=30, lookahead=2) == -1


@pytest.mark.parametrize("seed", range(20))
def test_frames_that_are_discarded_are_in_no_later_window(ring: RingBuffer, seed: int) -> None:
    random = np.random.default_rng(seed)
    stride, radius = int(random.integers(1, 7)), int(random.integers(1, 5))
    largest_gap = [1, 2, 4, 12][seed % 4]
    steps = random.integers(1, largest_gap + 1, 60)
    complete = ring_of(ring, np.cumsum(steps).tolist())
    kept, most = RingBuffer(), 0
    for index in range(60):
        kept.append(complete[index])
        expected = neighbours(complete, index, -stride, radius)
        assert neighbours(kept, index, -stride, radius) == expected
        if largest_gap == 1:
            assert expected == [index - i * stride for i in range(1, radius + 1) if index - i * stride >= 0]
        kept.discard_before(oldest_needed(kept, index + 1, stride, radius))
        most = max(most, len(kept))
    assert most <= radius * stride


def rounds_of(rounds: RegistrationSchedule, newest: int, wait: int = 0, ended: bool = False) -> list[tuple[int, ...]]:
    return [ready.frames for ready in rounds.ready(newest, newest - wait, ended)]


def test_head_frames_come_first_one_by_one_then_rounds() -> None:
    rounds = RegistrationSchedule((0, 4, 8), stride=4, lookahead=1, together_max=10)
    assert rounds_of(rounds, newest=8, wait=4) == [(1,), (2,), (3,)]
    assert not rounds.bootstrap_is_done
    assert rounds_of(rounds, newest=11, wait=4) == [(5,), (6,), (7,)]
    assert rounds_of(rounds, newest=13, wait=4) == []
    assert rounds_of(rounds, newest=14, wait=4) == [(9, 10)]
    assert rounds.oldest_pending == 11
    assert rounds_of(rounds, newest=15, ended=True) == [(11, 12), (13, 14), (15,)]


def test_without_lookahead_what_has_come_is_a_round_at_once() -> None:
    rounds = RegistrationSchedule((0, 5), stride=5, lookahead=0, together_max=3)
    assert rounds_of(rounds, newest=5) == [(1, 2, 3), (4,)]
    assert rounds.bootstrap_is_done
    assert rounds_of(rounds, newest=6) == [(6,)]
    assert rounds_of(rounds, newest=10) == [(7, 8, 9), (10,)]


def test_rounds_are_not_larger_than_allowed() -> None:
    rounds = RegistrationSchedule((0, 9), stride=9, lookahead=1, together_max=2)
    assert {len(frames) for frames in rounds_of(rounds, newest=40, wait=9)[8:]} == {2}

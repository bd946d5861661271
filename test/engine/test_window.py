import pytest
from synthetic import textured_image

from slam3r_ros.engine.encode import Encoder
from slam3r_ros.engine.ring_buffer import RingBuffer
from slam3r_ros.engine.types import Frame
from slam3r_ros.engine.window import Rounds, build_window
from slam3r_ros.networks.weights import Networks


@pytest.fixture
def ring(tiny_networks: Networks) -> RingBuffer:
    """Frames 0 to 9."""
    encoder, ring = Encoder(tiny_networks.i2p), RingBuffer()
    for index in range(10):
        ring.append(encoder.encode([Frame(index, textured_image(index))], index)[0])
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


def rounds_of(rounds: Rounds, newest: int, ended: bool = False) -> list[tuple[int, ...]]:
    return [ready.frames for ready in rounds.ready(newest, ended)]


def test_head_frames_come_first_one_by_one_then_rounds() -> None:
    rounds = Rounds((0, 4, 8), stride=4, lookahead=1, together_max=10)
    assert rounds_of(rounds, newest=8) == [(1,), (2,), (3,)]
    assert not rounds.head_is_done
    assert rounds_of(rounds, newest=11) == [(5,), (6,), (7,)]
    assert rounds_of(rounds, newest=13) == []
    assert rounds_of(rounds, newest=14) == [(9, 10)]
    assert rounds.oldest_pending == 11
    assert rounds_of(rounds, newest=15, ended=True) == [(11, 12), (13, 14), (15,)]


def test_without_lookahead_what_has_come_is_a_round_at_once() -> None:
    rounds = Rounds((0, 5), stride=5, lookahead=0, together_max=3)
    assert rounds_of(rounds, newest=5) == [(1, 2, 3), (4,)]
    assert rounds.head_is_done
    assert rounds_of(rounds, newest=6) == [(6,)]
    assert rounds_of(rounds, newest=10) == [(7, 8, 9), (10,)]


def test_rounds_are_not_larger_than_allowed() -> None:
    rounds = Rounds((0, 9), stride=9, lookahead=1, together_max=2)
    assert {len(frames) for frames in rounds_of(rounds, newest=40)[8:]} == {2}

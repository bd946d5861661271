"""No message of a camera ends the node: a few examples here, 10,000 messages in `make soak`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from domain_coordinator import domain_id
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slam3r_lab.soak.fuzzing import MOST_TOGETHER, FuzzedNode, fuzzed_node, save_tiny_weights
from slam3r_lab.soak.messages import compressed_images, good_image, messages
from slam3r_ros.io.image_decoding import ImageError
from slam3r_ros.ros.input.message_decoding import decode


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FuzzedNode]:
    with domain_id() as domain, fuzzed_node(save_tiny_weights(tmp_path_factory.mktemp("tiny")), domain) as node:
        yield node


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_node_outlives_whatever_a_camera_sends(fuzzed: FuzzedNode, data: st.DataObject) -> None:
    first = fuzzed.messages
    fuzzed.send([data.draw(messages(first + place)) for place in range(MOST_TOGETHER)])
    assert fuzzed.node.problem == ""


def test_the_node_still_maps_afterwards(fuzzed: FuzzedNode) -> None:
    before = fuzzed.status.frames_processed
    later = 10_000_000  # later than any stamp that has been used, or the beginning of a new map
    fuzzed.send([good_image(later + place) for place in range(MOST_TOGETHER)])
    assert fuzzed.status.frames_processed >= before + MOST_TOGETHER - 2
    fuzzed.wait_until(lambda: fuzzed.status.map_points > 0)  # mapping is another thread: its status comes later


@settings(max_examples=200, deadline=None, derandomize=True)
@given(compressed_images())
def test_bytes_that_are_said_to_be_an_image_are_decoded_or_refused(message: object) -> None:
    try:
        image = decode(message)  # type: ignore[arg-type]
    except ImageError:
        return
    assert image.ndim == 3 and image.shape[2] == 3

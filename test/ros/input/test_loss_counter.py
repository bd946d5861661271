"""Images that were published and never arrived are counted, by sequence numbers or by stamps."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from rclpy.context import Context
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node
from ros_harness import FIRST_NS, PATIENCE_S, PERIOD_NS, image_message, running_node, wait_until
from std_msgs.msg import String
from synthetic import textured_image

from slam3r_ros.ros.input.loss_counter import LossCounter, WithMessageInfo
from slam3r_ros.ros.node import make_executor


def numbered(number: int, publisher: bytes = b"a") -> dict[str, Any]:
    return {"publication_sequence_number": number, "publisher_gid": {"data": publisher}}


def test_gaps_in_the_sequence_of_each_publisher_are_counted() -> None:
    counter = LossCounter()
    numbers = [(b"a", 7), (b"a", 8), (b"b", 1), (b"a", 12), (b"b", 2), (b"b", 3), (b"a", 11), (b"b", 5)]
    missing = [counter.missing_before(0, numbered(number, publisher)) for publisher, number in numbers]
    assert missing == [0, 0, 0, 3, 0, 0, 0, 1]


def test_many_publishers_come_and_go() -> None:
    counter = LossCounter()
    assert sum(counter.missing_before(0, numbered(9, number.to_bytes(2, "big"))) for number in range(1000)) == 0
    assert len(counter._numbers) <= 20


def test_gaps_in_the_stamps_are_counted_where_there_are_no_numbers() -> None:
    counter = LossCounter()
    shown = [*range(10), 12, 13, 14, 18, 19]  # 10, 11 and 15 to 17 are missing
    jitter_ns = [0, 4_000_000, -3_000_000]
    missing = [counter.missing_before(FIRST_NS + PERIOD_NS * n + jitter_ns[n % 3], {}) for n in shown]
    assert missing == [0] * 10 + [2, 0, 0, 3, 0]


@pytest.mark.parametrize("step_ns", [0, -PERIOD_NS, 20 * 10**9])
def test_a_pause_or_a_jump_of_time_is_no_loss(step_ns: int) -> None:
    counter = LossCounter()
    for number in range(10):
        counter.missing_before(FIRST_NS + PERIOD_NS * number, {})
    assert counter.missing_before(FIRST_NS + PERIOD_NS * 9 + step_ns, {}) == 0


@pytest.mark.parametrize("make", [make_executor, lambda context: SingleThreadedExecutor(context=context)])
def test_the_info_of_a_message_comes_with_every_executor(context: Context, make: Any) -> None:
    node, got = Node("listener", context=context), list[tuple[str, bool]]()
    node.create_subscription(
        String, "words", WithMessageInfo(lambda m, info: got.append((m.data, "source_timestamp" in info))), 10
    )
    publisher = node.create_publisher(String, "words", 10)
    executor: Executor = make(context)
    executor.add_node(node)
    stop = threading.Event()
    thread = threading.Thread(target=lambda: [executor.spin_once(timeout_sec=0.1) for _ in iter(stop.is_set, True)])
    thread.start()
    wait_until(lambda: publisher.get_subscription_count() > 0, "the subscription")
    publisher.publish(String(data="here"))
    wait_until(lambda: bool(got), "the message")
    stop.set()
    thread.join()
    executor.shutdown()
    node.destroy_node()
    assert got == [("here", True)]


def test_every_image_of_a_burst_is_received_or_counted_as_missing(context: Context, weights: Path) -> None:
    count = 60
    with running_node(context, weights, reliable_camera=False, image_queue=2) as bench:
        bench.wait_for_connection()
        session = bench.node._session
        assert session is not None
        counters = session._counters
        bench.camera.images.publish(image_message(textured_image(0), FIRST_NS))
        wait_until(lambda: counters.received.count == 1, "the first image")
        burst_is_over, executor_waits = threading.Event(), threading.Event()

        def hold_the_executor() -> None:
            executor_waits.set()
            burst_is_over.wait(PATIENCE_S)

        timer = bench.node.create_timer(0.001, hold_the_executor)
        wait_until(executor_waits.is_set, "a callback that takes long")
        for number in range(1, count - 1):
            bench.camera.images.publish(image_message(textured_image(number), FIRST_NS + PERIOD_NS * number))
        timer.cancel()
        burst_is_over.set()
        bench.camera.images.publish(image_message(textured_image(count - 1), FIRST_NS + PERIOD_NS * (count - 1)))
        wait_until(lambda: counters.received.count + counters.missing == count, "every image accounted for")
        assert counters.missing > 0
        assert (
            "were published on '/image' and did not arrive" in bench.notice and "raise image_queue (2)" in bench.notice
        )
        assert session.input_statistics().recently_missing == counters.missing


def test_large_images_are_told_which_buffer_to_raise(context: Context, weights: Path) -> None:
    with running_node(context, weights) as bench:
        session = bench.node._session
        assert session is not None and session._subscription is not None
        text = session._subscription._missing_images(3840 * 2160 * 3)
    assert "one has 24.9 MB" in text
    assert "net.core.rmem_max to 134217728 and set FASTDDS_BUILTIN_TRANSPORTS=UDPv4?sockets_size=128MB" in text

"""Large messages: the thread that maps never waits for one, and nothing is made that nobody reads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from geometry_msgs.msg import PoseStamped
from rclpy.context import Context
from ros_harness import FIRST_NS, PATIENCE_S, PERIOD_NS, running_node, wait_until
from sensor_msgs.msg import PointCloud2

from slam3r_ros.ros.output import outputs
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.ros.threads.async_publisher import AsyncPublisher


class SlowTopic:
    """A publisher whose `publish` takes until it is told to end."""

    def __init__(self) -> None:
        self.began, self._leave = threading.Semaphore(0), threading.Semaphore(0)
        self.published: list[Any] = []

    def publish(self, message: Any) -> None:
        self.began.release()
        assert self._leave.acquire(timeout=PATIENCE_S)
        self.published.append(message)

    def end_one(self) -> None:
        self._leave.release()


@pytest.fixture
def publisher() -> Iterator[AsyncPublisher]:
    publisher = AsyncPublisher()
    yield publisher
    publisher.stop()


def test_what_waits_is_bounded_and_the_newest_stays(publisher: AsyncPublisher) -> None:
    topic: Any = SlowTopic()
    queue = publisher.topic_queue(topic, capacity=2)
    queue.put(lambda: "first")
    assert topic.began.acquire(timeout=PATIENCE_S)
    assert not queue.is_idle
    for number in range(5):  # returns at once although the first is still being published
        queue.put(lambda number=number: number)  # type: ignore[misc]
    assert queue.dropped == 3
    for _ in range(3):
        topic.end_one()
    wait_until(lambda: queue.is_idle, "everything published")
    assert topic.published == ["first", 3, 4]


def test_a_queue_is_removed_after_its_present_message_and_what_waits_in_it_is_not_published(
    publisher: AsyncPublisher,
) -> None:
    topic: Any = SlowTopic()
    queue = publisher.topic_queue(topic, capacity=2)
    queue.put(lambda: "first")
    assert topic.began.acquire(timeout=5.0)
    queue.put(lambda: "second")
    threading.Timer(0.05, topic.end_one).start()
    publisher.remove(queue)
    assert topic.published == ["first"] and queue.is_idle
    queue.put(lambda: "third")
    assert not topic.began.acquire(timeout=0.1)


def test_lanes_made_first_are_served_first_and_a_cleared_one_not_at_all(publisher: AsyncPublisher) -> None:
    blocker: Any = SlowTopic()
    order: list[str] = []

    class Topic:
        def publish(self, message: str) -> None:
            order.append(message)

    topic: Any = Topic()
    blocking, urgent, cleared, late = (publisher.topic_queue(p) for p in (blocker, topic, topic, topic))
    blocking.put(lambda: "")
    assert blocker.began.acquire(timeout=PATIENCE_S)
    late.put(lambda: "map")
    cleared.put(lambda: "old")
    urgent.put(lambda: "cloud")
    cleared.clear()
    blocker.end_one()
    wait_until(lambda: late.is_idle, "everything published")
    assert order == ["cloud", "map"]


def test_the_end_publishes_what_waits() -> None:
    publisher, order = AsyncPublisher(), []

    class Topic:
        def publish(self, message: int) -> None:
            order.append(message)

    topic: Any = Topic()
    queue = publisher.topic_queue(topic, capacity=100)
    for number in range(50):
        queue.put(lambda number=number: number)  # type: ignore[misc]
    publisher.stop()
    assert order == list(range(50))


def test_poses_go_on_while_a_map_is_being_published(context: Context, weights: Path) -> None:
    """Over DDS: somebody takes long for the map; every image is mapped meanwhile, and no second map is made."""
    with running_node(context, weights, image_queue=20, map_period=0.05) as bench:
        bench.wait_for_connection()
        session = bench.node._session
        assert session is not None
        slow = SlowTopic()
        session._outputs._map_queue.publisher = _like(session._outputs._map_cloud, slow)
        poses = bench.camera.listen(PoseStamped, "/slam3r/pose")
        bench.camera.listen(PointCloud2, "/slam3r/map_cloud", LATCHED)
        wait_until(lambda: session._outputs._map_cloud.get_subscription_count() > 0, "a subscriber of the map")
        bench.camera.send_images(6)
        assert slow.began.acquire(timeout=PATIENCE_S)
        bench.camera.send_images(10, FIRST_NS + 6 * PERIOD_NS, first_number=6)
        wait_until(lambda: len(poses) == 16, "a pose of every image")
        assert not slow.began.acquire(timeout=0.2)
        assert slow.published == []
        slow.end_one()
        assert slow.began.acquire(timeout=PATIENCE_S)  # the next map, of all that has come since
        slow.end_one()
        wait_until(lambda: len(slow.published) == 2, "both maps")
        assert slow.published[-1].width == bench.status.map_points


def _like(publisher: Any, slow: SlowTopic) -> Any:
    slow.get_subscription_count = publisher.get_subscription_count  # type: ignore[attr-defined]
    return slow


def test_nothing_is_made_for_topics_that_nobody_reads(
    context: Context, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def noting(name: str) -> None:
        original = getattr(outputs, name)

        def make(*arguments: Any, **named: Any) -> Any:
            made.append(name)
            return original(*arguments, **named)

        monkeypatch.setattr(outputs, name, make)

    with running_node(context, weights, image_queue=20, map_period=0.05, path_period=0.0) as bench:
        bench.wait_for_connection()
        session = bench.node._session
        assert session is not None
        for name in ("cloud_message", "Path", "PoseArray", "Keyframe"):
            noting(name)
        monkeypatch.setattr(session._runner._slam, "map_points", lambda: pytest.fail("a copy of the map"))
        bench.camera.send_images(12)
        bench.wait_for_handled(12)
        assert bench.status.map_points > 0
        assert bench.status.keyframes > 0
        assert made == []
        bench.camera.listen(PointCloud2, "/slam3r/cloud")
        wait_until(lambda: session._outputs._cloud.get_subscription_count() > 0, "a subscriber of the clouds")
        bench.camera.send_images(3, FIRST_NS + 12 * PERIOD_NS, first_number=12)
        wait_until(lambda: "cloud_message" in made, "a cloud for it")
        assert set(made) == {"cloud_message"}

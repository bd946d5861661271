"""Large messages are made and published in a thread of their own, so that the mapping thread never waits for one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from rclpy.publisher import Publisher

from slam3r_ros.ros.threads.loop_thread import LoopThread
from slam3r_ros.ros.threads.tuning import TUNING


class TopicQueue:
    """The newest messages that wait to be published on one topic, as functions that make them."""

    def __init__(self, publisher: Publisher, capacity: int, changed: threading.Condition) -> None:
        """``changed`` is the condition that all queues of one publishing thread share."""
        self.publisher = publisher
        """Publisher of the topic."""
        self.dropped = 0
        """Number of messages that were dropped for newer ones since the start."""
        self._capacity = capacity
        self._changed = changed
        self._waiting: deque[Callable[[], object]] = deque()
        self._is_publishing = False

    def put(self, make: Callable[[], object]) -> None:
        """Have a message made and published soon; the oldest one is dropped if more than ``capacity`` wait."""
        with self._changed:
            if len(self._waiting) == self._capacity:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(make)
            self._changed.notify()

    def clear(self) -> None:
        """Remove what waits; it does not count as dropped."""
        with self._changed:
            self._waiting.clear()

    @property
    def is_idle(self) -> bool:
        """Whether every message has been published."""
        with self._changed:
            return not self._waiting and not self._is_publishing

    def publish_next(self) -> bool:
        """Make and publish the message that has waited longest; False if none waits."""
        with self._changed:
            if not self._waiting:
                return False
            make = self._waiting.popleft()
            self._is_publishing = True
        try:
            self.publisher.publish(make())
        finally:
            with self._changed:
                self._is_publishing = False
                self._changed.notify_all()
        return True


class AsyncPublisher:
    """The publishing thread and its topic queues, in the order of their priority."""

    def __init__(self) -> None:
        """The thread starts at once."""
        self._changed = threading.Condition()
        self._queues: list[TopicQueue] = []
        self._thread = LoopThread("slam3r_publishing", self._step, self._wake)
        self._thread.start()

    @property
    def failure(self) -> Exception | None:
        """The exception that ended the thread; None while it runs, and where `stop` ended it."""
        return self._thread.failure

    def topic_queue(self, publisher: Publisher, capacity: int = 1) -> TopicQueue:
        """Add a queue for a topic, in which at most ``capacity`` messages wait. Queues added first are served first."""
        queue = TopicQueue(publisher, capacity, self._changed)
        with self._changed:
            self._queues.append(queue)
        return queue

    def remove(self, queue: TopicQueue) -> None:
        """Remove a queue with what waits in it, after its present message, so that its publisher can be destroyed."""
        with self._changed:
            queue.clear()
            self._queues.remove(queue)
            self._changed.wait_for(lambda: queue.is_idle, TUNING.publisher_stop_limit_s)

    def stop(self) -> None:
        """Publish what waits and end the thread; if its present message takes too long, the rest is not published."""
        if self._thread.stop(TUNING.publisher_stop_limit_s) and self._thread.failure is None:
            while self._publish_one():
                pass

    def _step(self) -> None:
        if self._publish_one():
            return
        with self._changed:
            if all(queue.is_idle for queue in self._queues):
                self._changed.wait(TUNING.idle_wait_s)

    def _publish_one(self) -> bool:
        with self._changed:
            queues = tuple(self._queues)
        return any(queue.publish_next() for queue in queues)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

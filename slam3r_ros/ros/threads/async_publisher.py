"""Large messages are made and published in a thread of their own: the thread that maps never waits for one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.publisher import Publisher

from slam3r_ros.ros.threads.loop_thread import LoopThread

_IDLE_S = 0.1
_STOP_LIMIT_S = 5.0


class TopicQueue:
    """What waits to be published on one topic, the newest few."""

    def __init__(self, publisher: Publisher, keep: int, changed: threading.Condition) -> None:
        self.publisher = publisher
        self.lost = 0
        """Messages that were given up for newer ones."""
        self._keep = keep
        self._changed = changed
        self._waiting: deque[Callable[[], Any]] = deque()
        self._is_publishing = False

    def put(self, make: Callable[[], Any]) -> None:
        """Have a message made and published soon; the oldest is given up if more than ``keep`` wait."""
        with self._changed:
            if len(self._waiting) == self._keep:
                self._waiting.popleft()
                self.lost += 1
            self._waiting.append(make)
            self._changed.notify()

    def clear(self) -> None:
        """Forget what waits."""
        with self._changed:
            self._waiting.clear()

    @property
    def is_idle(self) -> bool:
        """Whether everything has been published."""
        with self._changed:
            return not self._waiting and not self._is_publishing

    def publish_next(self) -> bool:
        """Publish what has waited longest, if anything has."""
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
        return True


class AsyncPublisher:
    """The thread, and its lanes in order of their urgency."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lanes: list[TopicQueue] = []
        self._thread = LoopThread("slam3r_publisher", self._once, self._nudge)
        self._thread.start()

    @property
    def failure(self) -> Exception | None:
        """What ended the thread, if it was not `stop`."""
        return self._thread.failure

    def lane(self, publisher: Publisher, keep: int = 1) -> TopicQueue:
        """A lane for a topic, at which at most ``keep`` messages wait. Lanes made first are served first."""
        lane = TopicQueue(publisher, keep, self._changed)
        with self._changed:
            self._lanes.append(lane)
        return lane

    def stop(self) -> None:
        """Publish what waits and end; what takes too long is left."""
        if self._thread.stop(_STOP_LIMIT_S) and self._thread.failure is None:
            while self._publish_one():
                pass

    def _once(self) -> None:
        if self._publish_one():
            return
        with self._changed:
            if all(lane.is_idle for lane in self._lanes):
                self._changed.wait(_IDLE_S)

    def _publish_one(self) -> bool:
        return any(lane.publish_next() for lane in self._lanes)

    def _nudge(self) -> None:
        with self._changed:
            self._changed.notify()

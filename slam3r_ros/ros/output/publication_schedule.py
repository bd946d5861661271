"""When a topic that holds the whole of something is due."""

from __future__ import annotations

import math
import time

from slam3r_ros.ros.threads.async_publisher import TopicQueue


class PublicationSchedule:
    """When a topic that holds the whole map is due: it changed, somebody subscribes, and the last one is old enough."""

    def __init__(self, period_s: float) -> None:
        self.period_s = period_s
        """Shortest time between two messages, seconds."""
        self._changed = False
        self._last_s = -math.inf

    def mark_changed(self) -> None:
        """Note that the last message no longer holds."""
        self._changed = True

    def start_if_due(self, queue: TopicQueue) -> bool:
        """Whether the topic is due; if so the caller publishes it, and the next period begins."""
        now_s = time.monotonic()
        if not self._changed or now_s - self._last_s < self.period_s:
            return False
        if queue.publisher.get_subscription_count() == 0 or not queue.is_idle:
            return False
        self._changed, self._last_s = False, now_s
        return True

"""The thread between camera and engine: decodes, crops and encodes images while the engine has those before."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from slam3r_ros.engine.stage_timer import StageTimer
from slam3r_ros.ros.input.frame_builder import FrameBuilder, ReadyFrame
from slam3r_ros.ros.input.image_subscription import Arrival
from slam3r_ros.ros.pipeline.counters import Counters
from slam3r_ros.ros.threads.back_pressure import BackPressure
from slam3r_ros.ros.threads.drop_oldest_queue import DropOldestQueue
from slam3r_ros.ros.threads.loop_thread import LoopThread
from slam3r_ros.types import EncodedAhead, PreparedFrame

AHEAD = 2.0
"""Times that a frame takes to prepare that preparing begins before the engine is expected to be free: both vary, and an
engine that waits loses more than an image that is a little older."""
_IDLE_S = 0.1
_WEIGHT = 0.2  # of the newest time in the moving average


class DecodingThread:
    """Image messages in, frames ready for the engine out; where the engine has no time, the newest win."""

    def __init__(
        self,
        images: DropOldestQueue[Arrival],
        ready: DropOldestQueue[ReadyFrame],
        frames: FrameBuilder,
        counters: Counters,
        demand: BackPressure,
        encode_ahead: Callable[[PreparedFrame], PreparedFrame | EncodedAhead],
    ) -> None:
        self._images = images
        self._ready = ready
        self._frames = frames
        self._counters = counters
        self._demand = demand
        self._encode_ahead = encode_ahead
        self._takes_s = 0.0
        self._busy = threading.Lock()  # while an image is in work
        self._thread: LoopThread | None = None
        self.clock = StageTimer()

    def thread(self) -> LoopThread:
        """A thread that does this."""
        self._thread = LoopThread("slam3r_preparer", self.once, self._images.nudge)
        return self._thread

    def once(self) -> None:
        """Prepare what has come, once the engine is about to need it.

        An image that cannot be used is told of, counted and left.
        """
        if not self._images.wait(_IDLE_S) or not self._demand.wait(AHEAD * self._takes_s, _IDLE_S):
            return
        for arrival in self._images.take(0.0):
            if self._thread is not None and self._thread.is_stopping:
                self._counters.add_dropped(1)
                continue
            with self._busy:
                began = time.monotonic()
                with self.clock.stage("decode"):
                    built = self._frames.make(arrival)
                if built is None:
                    self._counters.add_rejected(1)
                    continue
                with self.clock.stage("encode_ahead"):
                    ready = ReadyFrame(self._encode_ahead(built.prepared), built.prepared.header.stamp_ns, built.epoch)
                self._takes_s += _WEIGHT * (time.monotonic() - began - self._takes_s)
                self._counters.add_dropped(self._ready.put(ready))

    def start_anew(self) -> None:
        """Forget every image that has not been mapped, and accept any stamp next."""
        with self._busy:
            self._images.clear()
            self._ready.clear()
            self._frames.forget_stamps()

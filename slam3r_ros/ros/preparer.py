"""The thread between camera and engine: decodes and crops images while the engine is busy with those before."""

from __future__ import annotations

import threading

from slam3r_ros.engine.stage_clock import StageClock
from slam3r_ros.ros.counters import Counters
from slam3r_ros.ros.frames import FrameMaker, ReadyFrame
from slam3r_ros.ros.image_input import Arrival
from slam3r_ros.ros.looping import Looping
from slam3r_ros.ros.newest import Newest

_IDLE_S = 0.1


class Preparer:
    """Image messages in, frames ready for the engine out; where the engine has no time, the newest win."""

    def __init__(
        self, images: Newest[Arrival], ready: Newest[ReadyFrame], frames: FrameMaker, counters: Counters
    ) -> None:
        self._images = images
        self._ready = ready
        self._frames = frames
        self._counters = counters
        self._busy = threading.Lock()  # while an image is in work
        self.clock = StageClock()

    def thread(self) -> Looping:
        """A thread that does this."""
        return Looping("slam3r_preparer", self.once, self._images.nudge)

    def once(self) -> None:
        """Prepare what has come. An image that cannot be used is told of, counted and left."""
        for arrival in self._images.take(_IDLE_S):
            with self._busy:
                with self.clock.stage("decode"):
                    frame = self._frames.make(arrival)
                if frame is None:
                    self._counters.add_rejected(1)
                else:
                    self._counters.add_dropped(self._ready.put(frame))

    def start_anew(self) -> None:
        """Forget every image that has not been mapped, and accept any stamp next."""
        with self._busy:
            self._images.clear()
            self._ready.clear()
            self._frames.forget_stamps()

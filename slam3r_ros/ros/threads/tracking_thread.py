"""The thread that every image goes through: it decodes and prepares them, and tracks them where anything tracks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from slam3r_ros.ros.threads.back_pressure import BackPressure
from slam3r_ros.ros.threads.counters import Counters
from slam3r_ros.ros.threads.drop_oldest_queue import DropOldestQueue
from slam3r_ros.ros.threads.loop_thread import LoopThread
from slam3r_ros.ros.threads.tuning import TUNING

Received = TypeVar("Received")
Ready = TypeVar("Ready")
_Received = TypeVar("_Received", contravariant=True)
_Ready = TypeVar("_Ready", covariant=True)


class Builder(Protocol[_Received, _Ready]):
    """What the thread calls for each image: `input.frame_builder.FrameBuilder`."""

    def build(self, received: _Received) -> Sequence[_Ready | None]:
        """Return an entry for each image decided on: its frame, or None if it cannot be used and a warning said why.

        An image may wait for the next one, and be decided on together with it.
        """

    def reset(self) -> None:
        """Accept an image with any stamp next."""


class TrackingThread(Generic[Received, Ready]):
    """Received images in, frames out: to tracking, or to the queue of an engine that does all on the mapping thread.

    Where that engine has no time, the newest images win.
    """

    def __init__(
        self,
        images: DropOldestQueue[Received],
        builder: Builder[Received, Ready],
        deliver: Callable[[Ready], int],
        discard: Callable[[], None],
        counters: Counters,
        back_pressure: BackPressure | None = None,
    ) -> None:
        """``deliver`` takes a frame on this thread and returns how many were dropped for it, ``discard`` discards those
        that wait. ``back_pressure`` is that of the engine that the frames wait for; None where none do."""
        self._images = images
        self._builder = builder
        self._deliver, self._discard = deliver, discard
        self._counters = counters
        self._back_pressure = back_pressure
        self._mean_build_s = 0.0  # a moving average
        self._building = threading.Lock()  # held while a frame is made
        self._thread: LoopThread | None = None

    @property
    def failure(self) -> Exception | None:
        """The exception that ended the thread; None while it runs, and while it is stopped."""
        return None if self._thread is None else self._thread.failure

    def start(self) -> None:
        """Start the thread; one that was stopped before must have ended."""
        self._thread = LoopThread("slam3r_tracking", self.step, self._images.wake)
        self._thread.start()

    def stop(self, time_limit_s: float) -> bool:
        """End the thread after its present image; False if that takes longer than the limit, and the thread goes on."""
        if self._thread is not None and not self._thread.stop(time_limit_s):
            return False
        self._thread = None
        return True

    def step(self) -> None:
        """Make frames of the images that have come and deliver them, once the engine is about to want one.

        An image that cannot be used is counted as rejected; once the thread is to stop, the rest count as dropped.
        """
        if not self._images.wait(TUNING.idle_wait_s):
            return
        lead_s, pressure = TUNING.preparation_lead * self._mean_build_s, self._back_pressure
        if pressure is not None and not pressure.wait_until_wanted(lead_s, TUNING.idle_wait_s):
            return
        for received in self._images.take(0.0):
            if self._thread is not None and self._thread.is_stopping:
                self._counters.add_dropped(1)
                continue
            with self._building:
                began_s = time.monotonic()
                built = self._builder.build(received)
                frames = [frame for frame in built if frame is not None]
                self._counters.add_rejected(len(built) - len(frames))
                if frames:
                    took_s = time.monotonic() - began_s
                    self._mean_build_s += TUNING.duration_weight * (took_s - self._mean_build_s)
                self._counters.add_dropped(sum(self._deliver(frame) for frame in frames))

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Discard every image that has not been mapped, let none through while the body runs, and accept an image with
        any stamp after it: what the body does to the engine concerns no image that was taken in before."""
        with self._building:
            self._images.clear()
            self._discard()
            self._builder.reset()
            yield

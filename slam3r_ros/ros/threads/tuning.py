"""The hand-tuned values of the threads and queues, together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ThreadTuning:
    """Waiting times, limits and averages of the threads; none of them is a parameter of the node."""

    idle_wait_s: float = 0.1
    """Longest time, in seconds, that a thread without work waits before it looks whether it has been stopped."""
    pending_wait_s: float = 0.005
    """Longest time, in seconds, that the mapping thread waits for a frame while the engine refines the points of a
    keyframe in the background: they are published as soon as they are ready."""
    preparation_lead: float = 2.0
    """How long before the engine is expected to be free the preparation of its next image begins, as a multiple of the
    mean time that preparing takes. Above 1, because both times vary, and an engine that waits costs more than an image
    that is a little older."""
    duration_weight: float = 0.2
    """Weight of the newest duration in the moving averages of the preparation's and the engine's time for a frame."""
    latency_weight: float = 0.1
    """Weight of the newest latency in the moving average of the time from an image's stamp to its published pose."""
    rate_span_s: float = 5.0
    """Length, in seconds, of the time over which rates are counted."""
    stop_limit_s: float = 10.0
    """Longest time, in seconds, that stopping waits for the decoding and the mapping thread to finish their image."""
    publisher_stop_limit_s: float = 5.0
    """Longest time, in seconds, that stopping waits for the publishing thread to finish its message."""


TUNING = ThreadTuning()
"""The values in use."""

"""Initialization: which frames the initial map is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from slam3r_ros.device.memory_guard import MemoryGuard
from slam3r_ros.engine.image_to_points_stage import ImageToPointsStage
from slam3r_ros.engine.initial_map import InitialMap, InitialMapBuilder, NotInitialized, waiting_reason
from slam3r_ros.engine.ring_buffer import RingBuffer
from slam3r_ros.engine.slam_status import SlamStatus
from slam3r_ros.engine.stage_timer import StageTimer
from slam3r_ros.engine.stride import choose_stride
from slam3r_ros.engine.window import neighbours
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import State

_MEMORY_FULL = "the device's memory is full"


class Initializer:
    """Tries the oldest frames of the ring buffer, again and again, until one set makes an initial map."""

    def __init__(
        self,
        image_to_points: ImageToPointsStage,
        settings: SlamSettings,
        guard: MemoryGuard,
        timer: StageTimer,
        *,
        shrink_buffer: Callable[[], int],
        encode: Callable[[Sequence[int]], bool],
    ) -> None:
        """``encode`` encodes frames of the ring buffer, by their indices, where they are not; False where the device
        has no memory for that."""
        self._image_to_points = image_to_points
        self._guard, self._timer, self._shrink_buffer, self._encode = guard, timer, shrink_buffer, encode
        self.change_settings(settings)
        self.reset()

    def change_settings(self, settings: SlamSettings) -> None:
        """Use these settings from the next attempt on."""
        self._settings = settings
        confidence = settings.register.point_confidence
        self._builder = InitialMapBuilder(self._image_to_points, settings.initialize, confidence)

    def reset(self) -> None:
        """Choose the stride anew, unless the settings say it."""
        stride = self._settings.window.stride
        self._stride = stride if stride > 0 else None

    @property
    def stride(self) -> int:
        """Images of the stream from one member of a window to the next; known once there is an initial map."""
        assert self._stride is not None
        return self._stride

    def initialize(self, ring: RingBuffer, status: SlamStatus, *, ended: bool) -> InitialMap | None:
        """The initial map of the oldest frames in the ring; frames that cannot be part of one leave it. None while
        there is none, and the status has the reason. A stride that the end of the stream made small holds only if it
        gives an initial map: the stream may go on.
        """
        status.state = State.INITIALIZING
        before = self._stride
        wanted = self._settings.initialize.window_size
        while (stride := self._choose_stride(ring, status, ended)) is not None:
            indices = [ring.oldest, *neighbours(ring, ring.oldest, stride, wanted - 1)]
            if len(indices) < (2 if ended else wanted):
                break
            with self._timer.stage("initialize"):
                result = self._build(ring, indices)
            if isinstance(result, InitialMap):
                return result
            status.initialisations_failed += 1
            status.reason = f"initialisation failed, trying newer frames: {result.reason}"
            first = ring[ring.oldest].source_index
            ring.discard_before(ring.at_or_before(first + stride - 1) + 1)
            if not len(ring):
                break
        if not status.initialisations_failed and stride is not None:
            status.reason = waiting_reason(ring.images_held, (wanted - 1) * stride + 1, ended)
        if ended:
            self._stride, status.stride = before, before or 0
        return None

    def _build(self, ring: RingBuffer, indices: Sequence[int]) -> InitialMap | NotInitialized:
        """The initial map of these frames, or why there is none."""
        if not self._encode(indices):
            return NotInitialized(_MEMORY_FULL)
        frames = [ring.encoded(index) for index in indices]
        guard, builder = self._guard, self._builder
        result = guard.run(lambda: builder.build(frames, guard.batch_limit), len(frames), self._shrink_buffer)
        return result or NotInitialized(_MEMORY_FULL)

    def _choose_stride(self, ring: RingBuffer, status: SlamStatus, ended: bool) -> int | None:
        """The stride of windows, or None while the frames that decide it are still coming."""
        have, wanted = len(ring), self._settings.window.adapt_frames
        if self._stride is None:
            if have < wanted and not ended:
                status.reason = f"choosing the stride: {have} of {wanted} frames"
                return None
            if not self._encode(range(ring.oldest, ring.newest + 1)):
                status.reason = f"choosing the stride: {_MEMORY_FULL}"
                return None
            with self._timer.stage("choose_stride"):
                self._stride = choose_stride(self._image_to_points, ring, self._settings.keyframes.seed)
        if ended and have > 1 and ring.images_held <= self._stride:
            self._stride = ring.images_held - 1
        status.stride = self._stride
        return self._stride

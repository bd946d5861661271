"""Everything the node has while it is configured."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import TypeVar

import cv2
import torch
from rclpy.node import Node

from slam3r_ros.engine.slam import Slam
from slam3r_ros.engine.warm_up import warm_up
from slam3r_ros.io.files import OutputError
from slam3r_ros.io.save import NothingMappedError, SavedMap
from slam3r_ros.msg import SlamStatus
from slam3r_ros.networks.graph_capture import replayed
from slam3r_ros.networks.weights import AUTO, load_networks
from slam3r_ros.ros.input.camera_info_cache import CameraInfoCache
from slam3r_ros.ros.input.frame_builder import FrameBuilder, ReadyFrame
from slam3r_ros.ros.input.image_subscription import Arrival, ImageSubscription
from slam3r_ros.ros.input.timestamp_filter import TimestampFilter
from slam3r_ros.ros.output.diagnostics import InputHealth
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.ros.output.status import StatusValues, status_message
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.pipeline.counters import Counters
from slam3r_ros.ros.pipeline.slam_runner import SlamRunner, SlamRunnerEvents
from slam3r_ros.ros.pipeline.throttled_log import ThrottledLog
from slam3r_ros.ros.pipeline.weights_choice import tell_which_weights
from slam3r_ros.ros.threads.back_pressure import BackPressure
from slam3r_ros.ros.threads.decoding_thread import DecodingThread
from slam3r_ros.ros.threads.drop_oldest_queue import DropOldestQueue
from slam3r_ros.ros.threads.loop_thread import LoopThread
from slam3r_ros.ros.threads.mapping_thread import MappingThread, Request

Result = TypeVar("Result")
STOP_LIMIT_S = 10.0
"""Longest wait for the worker to finish the image in work."""


class WorkerStuckError(RuntimeError):
    """The worker thread did not end in time."""


class Session:
    """Networks, engine, topics and worker, between configuring and cleaning up. Used by the executor thread."""

    def __init__(
        self, node: Node, settings: NodeSettings, notices: ThrottledLog, state_changed: Callable[[], None]
    ) -> None:
        """Load the networks, run them in and make the publishers. Raises WeightsError and BackendError."""
        if settings.threads:
            torch.set_num_threads(settings.threads)
            cv2.setNumThreads(settings.threads)
        networks = replayed(
            load_networks(
                settings.weights, device=settings.device, precision=settings.precision, attention=settings.attention
            )
        )
        if settings.weights == AUTO:
            tell_which_weights(networks, notices)
        self.weights = networks.name
        """The networks in use."""
        warm_up(networks, settings.slam, together=settings.image_queue)
        self._node = node
        self._settings = settings
        self._notices = notices
        self._counters = Counters()
        self._images: DropOldestQueue[Arrival] = DropOldestQueue(settings.image_queue)
        self._ready: DropOldestQueue[ReadyFrame] = DropOldestQueue(settings.image_queue)
        self._cameras = CameraInfoCache(notices, rectified=settings.rectified)
        self._stamps = TimestampFilter(settings.time_jump)
        slam = Slam(networks, settings.slam)
        self._outputs = Outputs(node, replace(settings, slam=slam.settings), notices)
        frames = FrameBuilder(self._cameras, self._stamps, notices, slam.encoder.prepare)
        self._demand = BackPressure()
        self._preparer = DecodingThread(
            self._images, self._ready, frames, self._counters, self._demand, slam.encoder.encode_ahead
        )
        events = SlamRunnerEvents(self._now_ns, state_changed)
        self._mapping = SlamRunner(slam, self._outputs, notices, events, self._counters)
        self._input: ImageSubscription | None = None
        self._preparing: LoopThread | None = None
        self._worker: MappingThread | None = None
        self._stuck: list[LoopThread | MappingThread] = []
        """Threads that were told to end and have not."""
        self._paused = False
        self._active_since = time.monotonic()
        self._told_drops = self._told_rejected = 0

    # ---- lifecycle ---------------------------------------------------------------------------------------------

    def activate(self) -> None:
        """Listen to the camera and map. Raises WorkerStuckError while a thread of before has not ended."""
        if not self._is_unstuck(0.0):
            raise WorkerStuckError("the worker still has an image from before the node was deactivated")
        self._images.clear()
        self._ready.clear()
        self._preparing = self._preparer.thread()
        self._worker = MappingThread(self._ready, self._mapping, self._demand, flush_after_s=self._settings.flush_after)
        self._input = ImageSubscription(
            self._node,
            self._settings,
            images=self._images,
            cameras=self._cameras,
            counters=self._counters,
            notices=self._notices,
            now_ns=self._now_ns,
        )
        self._input.paused = self._paused
        self._active_since = time.monotonic()
        self._worker.start()
        self._preparing.start()

    def deactivate(self) -> None:
        """Stop taking images and answer those in work; the map stays. Raises WorkerStuckError, and what the engine or a
        publisher does.
        """
        if self._input is not None:
            self._input.destroy()
            self._input = None
        preparing, self._preparing = self._preparing, None
        worker, self._worker = self._worker, None
        if worker is None or preparing is None:
            return
        self._stuck += [thread for thread in (preparing, worker) if not thread.stop(STOP_LIMIT_S)]
        if self._stuck:
            raise WorkerStuckError(f"the worker did not finish its image within {STOP_LIMIT_S:.0f} s")
        self._mapping.flush()

    def close(self) -> None:
        """Save the map if asked to, and give publishers and memory back; a thread that is stuck gets a last chance."""
        is_unstuck = self._is_unstuck(STOP_LIMIT_S)
        if self._settings.save_on_exit:
            self._save_on_exit(self._mapping.save if is_unstuck else self._mapping.save_as_it_is)
        self._outputs.destroy()
        del self._mapping, self._preparer
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    # ---- what services ask for -----------------------------------------------------------------------------------

    def save(self, path: str) -> Future[SavedMap]:
        """Write map and trajectory to ``path``, by default the parameter save_path."""
        return self._in_worker(lambda: self._mapping.save(path or self._settings.save_path))

    def reset(self, reason: str) -> Future[None]:
        """Forget the map."""
        return self._in_worker(lambda: self._reset(reason))

    def set_scale(self, metres_per_unit: float) -> Future[str]:
        """Publish and save in metres from now on; what lengths then are. SettingError for a value that is no scale."""

        def change() -> str:
            self._mapping.set_scale(metres_per_unit)
            return self._outputs.scale.lengths

        return self._in_worker(change)

    def pause(self, paused: bool) -> None:
        """Ignore images, or take them again."""
        self._paused = paused
        if self._input is not None:
            self._input.paused = paused

    def clock_jumped_back(self, now_ns: int) -> None:
        """The node's clock went back: start anew if the map's stamps lie in the future now."""

        def check() -> None:
            if self._stamps.clock_jumped_back(now_ns):
                self._notices.warn("clock jump", "the clock jumped back: starting a new map")
                self._reset("the clock jumped back")

        self._in_worker(check)

    # ---- what is known -------------------------------------------------------------------------------------------

    def status(self) -> SlamStatus:
        """State, counters and timing now; safe from any thread."""
        mapping = self._mapping
        return status_message(
            StatusValues(
                engine=mapping.status(),
                counters=self._counters,
                stage_ms=mapping.stage_ms() | self._preparer.clock.average_ms(),
                paused=self._paused,
                newest_stamp_ns=mapping.newest_stamp_ns,
                notice=self._notices.newest,
                map_frame=self._settings.map_frame,
                weights=self.weights,
                scale=self._outputs.scale.metres_per_unit,
            )
        )

    def input_health(self) -> InputHealth:
        """How images came in since this was last asked."""
        counters = self._counters
        since = counters.received.since_last_s()
        drops, rejected = counters.dropped - self._told_drops, counters.rejected - self._told_rejected
        self._told_drops, self._told_rejected = counters.dropped, counters.rejected
        return InputHealth(
            topic="" if self._input is None else self._input.topic,
            silent_s=time.monotonic() - self._active_since if since is None else since,
            timeout_s=self._settings.image_timeout,
            time_jumps=self._stamps.jumps,
            drops_lately=drops,
            rejected_lately=rejected,
        )

    @property
    def failure(self) -> Exception | None:
        """What ended a thread, if something did."""
        threads = (self._worker, self._preparing, self._outputs)
        return next((t.failure for t in threads if t is not None and t.failure is not None), None)

    @property
    def publishing_failed(self) -> bool:
        """Whether it was the thread that publishes, which is made anew with the session only."""
        return self._outputs.failure is not None

    # ---- how -----------------------------------------------------------------------------------------------------

    def _is_unstuck(self, time_limit_s: float) -> bool:
        """Whether all threads have ended, or do within the time, each."""
        self._stuck = [thread for thread in self._stuck if not thread.stop(time_limit_s)]
        return not self._stuck

    def _in_worker(self, action: Callable[[], Result]) -> Future[Result]:
        """Run an action where the engine is used: in the worker if there is one, here if not."""
        if self._worker is not None and self._worker.failure is None:
            return self._worker.ask(action)
        request = Request(action)
        if self._is_unstuck(0.0):
            request.answer()
        else:
            request.refuse(WorkerStuckError("the worker has not finished its image"))
        return request.future

    def _reset(self, reason: str) -> None:
        self._preparer.start_anew()
        self._mapping.reset(reason)

    def _save_on_exit(self, save: Callable[[str], SavedMap]) -> None:
        try:
            saved = save(self._settings.save_on_exit)
        except NothingMappedError as error:
            self._notices.info(str(error))
            return
        except OutputError as error:
            self._notices.error("save", f"map not saved: {error}")
            return
        self._notices.info(f"saved {saved.point_count} points to {saved.map_path}")

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds

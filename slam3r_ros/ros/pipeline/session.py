"""Everything that the node has while it is configured."""

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
from slam3r_ros.io.save import SavedMap
from slam3r_ros.map_file.errors import MapFileError
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.msg import SlamStatus
from slam3r_ros.networks.graph_capture import with_cuda_graphs
from slam3r_ros.networks.hub import AUTO
from slam3r_ros.networks.weights import load_networks
from slam3r_ros.ros.input.camera_info_cache import CameraInfoCache
from slam3r_ros.ros.input.frame_builder import FrameBuilder, ReadyFrame
from slam3r_ros.ros.input.image_subscription import ImageSubscription, ReceivedImage
from slam3r_ros.ros.input.timestamp_filter import TimestampFilter
from slam3r_ros.ros.output.diagnostics import InputStatistics
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.ros.output.status import StatusValues, status_message
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.pipeline.automatic_saving import AutomaticSaving
from slam3r_ros.ros.pipeline.live_runner import Work
from slam3r_ros.ros.pipeline.loops import LoopParts, make_engine, make_loops
from slam3r_ros.ros.pipeline.map_recording import MapRecording
from slam3r_ros.ros.pipeline.slam_runner import NodeCallbacks
from slam3r_ros.ros.pipeline.weights_choice import log_weights_choice
from slam3r_ros.ros.threads.counters import Counters
from slam3r_ros.ros.threads.drop_oldest_queue import DropOldestQueue
from slam3r_ros.ros.threads.mapping_thread import MappingThread, Request
from slam3r_ros.ros.threads.tracking_thread import TrackingThread
from slam3r_ros.ros.threads.tuning import TUNING
from slam3r_ros.ros.throttled_log import ThrottledLog

Result = TypeVar("Result")
_MappingThread = MappingThread[ReadyFrame] | MappingThread[Work]


class ThreadStuckError(RuntimeError):
    """The tracking or the mapping thread did not end in time."""


class Session:
    """Networks, engine, queues, threads and topics from configuring to cleaning up. Used by the executor thread."""

    def __init__(
        self, node: Node, settings: NodeSettings, log: ThrottledLog, on_state_change: Callable[[], None]
    ) -> None:
        """Load the networks, warm them up and create the publishers. Raises WeightsError and BackendError, and
        OutputError or MapFileError where the map file, or that of save_on_exit, cannot be written or read.

        ``on_state_change`` is called in the mapping thread when the engine's state has changed.
        """
        self._saving = AutomaticSaving(settings.save_on_exit, log)
        if settings.threads:
            torch.set_num_threads(settings.threads)
            cv2.setNumThreads(settings.threads)
        networks = with_cuda_graphs(
            load_networks(
                settings.weights, device=settings.device, precision=settings.precision, attention=settings.attention
            )
        )
        if settings.weights == AUTO:
            log_weights_choice(networks, log)
        self.weights = networks.name
        """Name of the networks in use."""
        warm_up(networks, settings.slam, together=settings.image_queue)
        self._node = node
        self.settings = settings
        """The parameters in use."""
        self._log = log
        self._counters = Counters()
        self._images: DropOldestQueue[ReceivedImage] = DropOldestQueue(settings.image_queue)
        self._camera_info = CameraInfoCache(log, rectified=settings.rectified)
        self._timestamps = TimestampFilter(settings.time_jump)
        self._recommended = networks.recommended
        slam = make_engine(networks, settings.slam)
        facts, only_localizes = MapFacts.of(networks, slam.settings), settings.mode == "localization"
        self._recording = MapRecording(settings.map_file, facts, log, only_localizes=only_localizes)
        stored = self._begin_map(slam)
        self._outputs = Outputs(node, replace(settings, slam=slam.settings), log)
        if self._recording.has_loaded_map:
            self._outputs.reset(slam, stored.metres_per_unit)
        self._builder = FrameBuilder(self._camera_info, self._timestamps, slam.encoder, log)
        callbacks = NodeCallbacks(self._now_ns, on_state_change, self._saving.before_jump)
        parts = LoopParts(
            images=self._images,
            builder=self._builder,
            outputs=self._outputs,
            log=log,
            callbacks=callbacks,
            counters=self._counters,
            recording=self._recording,
            image_queue=settings.image_queue,
        )
        self._loops = make_loops(slam, parts)
        self._runner, self._tracking = self._loops.runner, self._loops.tracking
        self._subscription: ImageSubscription | None = None  # while the node is active
        self._mapping: _MappingThread | None = None  # while the node is active
        self._stuck: list[TrackingThread[ReceivedImage, ReadyFrame] | _MappingThread] = []
        """Threads that were stopped and have not ended."""
        self._paused = False
        self._active_since_s = time.monotonic()
        self._reported_drops = self._reported_rejections = self._reported_missing = 0

    def _begin_map(self, slam: Slam) -> StoredScale:
        """Begin with the map of the map file, if there is one; its scale."""
        try:
            return self._recording.begin(slam)
        except MapFileError:
            self._recording.close()
            raise

    # ---- lifecycle ---------------------------------------------------------------------------------------------

    def activate(self) -> None:
        """Subscribe to the camera and map. Raises ThreadStuckError while a thread of before has not ended."""
        if not self._stop_stuck_threads(0.0):
            raise ThreadStuckError("a thread still has an image from before the node was deactivated")
        self._images.clear()
        self._loops.discard()
        self._mapping = self._loops.new_mapping_thread(self.settings.flush_after)
        self._subscription = ImageSubscription(
            self._node,
            self.settings,
            images=self._images,
            camera_info=self._camera_info,
            counters=self._counters,
            log=self._log,
            now_ns=self._now_ns,
        )
        self._subscription.paused = self._paused
        self._active_since_s = time.monotonic()
        self._mapping.start()
        self._tracking.start()

    def deactivate(self) -> None:
        """Unsubscribe and map the images in work; the map stays. Raises ThreadStuckError, and what the engine or a
        publisher raises.
        """
        if self._subscription is not None:
            self._subscription.destroy()
            self._subscription = None
        mapping, self._mapping = self._mapping, None
        if mapping is None:
            return
        self._stuck += [thread for thread in (self._tracking, mapping) if not thread.stop(TUNING.stop_limit_s)]
        if self._stuck:
            raise ThreadStuckError(f"a thread did not finish its image within {TUNING.stop_limit_s:.0f} s")
        self._runner.flush()

    def close(self) -> str:
        """Save the map if the parameter save_on_exit says so, and give publishers and memory back.

        A thread that is stuck gets a last chance to end; if it does not, the map is saved as it is. Returns why the map
        could not be saved, in one sentence, or nothing.
        """
        have_ended = self._stop_stuck_threads(TUNING.stop_limit_s)
        self._saving.at_exit(self._runner.save if have_ended else self._runner.save_without_flush)
        self._recording.close()
        self._outputs.destroy()
        del self._runner, self._tracking, self._builder, self._loops
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return self._saving.failure or self._recording.failure

    # ---- requests ------------------------------------------------------------------------------------------------

    def change_settings(self, settings: NodeSettings) -> None:
        """Use other values of those parameters that may change now; while the node is active, at any time."""
        self.settings = settings
        self._timestamps.time_jump_s = settings.time_jump
        self._saving.path = settings.save_on_exit
        if self._mapping is not None:
            self._mapping.flush_after_s = settings.flush_after
        resolved = replace(settings, slam=settings.slam.resolved(self._recommended))
        self._with_engine(lambda: self._runner.change_settings(resolved)).add_done_callback(self._report_failed_change)

    def save(self, path: str) -> Future[SavedMap]:
        """Write map and trajectory to ``path``, by default to that of the parameter save_path."""
        return self._with_engine(lambda: self._runner.save(path or self.settings.save_path))

    def reset(self, reason: str) -> Future[None]:
        """Forget the map and start a new one."""
        return self._with_engine(lambda: self._reset(reason))

    def load_map(self, path: str, *, only_localizes: bool) -> Future[str]:
        """Go on in the map file ``path``, where it is empty in the one in use, or be only localized in it.

        The result says what was loaded; it is a MapFileError or OutputError where the file is refused, and then nothing
        has changed.
        """

        def change() -> str:
            read = self._runner.read_map(path, only_localizes=only_localizes)  # images are tracked meanwhile
            with self._tracking.holding():  # no frame of the old map gets into the other one
                self._runner.change_map(read)
            return read.loaded.text

        return self._with_engine(change)

    def localize_near(self, position_map: tuple[float, float], radius: float) -> Future[int]:
        """Look for the camera near a position on the loaded map first, x and y and radius in published lengths.

        The result is how many places are near; it is a ValueError where the camera is not looked for.
        """
        return self._with_engine(lambda: self._runner.localize_near(position_map, radius))

    def set_scale(self, metres_per_unit: float) -> Future[str]:
        """Publish and save in metres from now on.

        The result says what lengths then are; it is a SettingError for a value that cannot be a scale.
        """

        def change() -> str:
            self._runner.set_scale(metres_per_unit)
            return self._outputs.scale.description

        return self._with_engine(change)

    def pause(self, paused: bool) -> None:
        """Ignore images, or receive them again."""
        self._paused = paused
        if self._subscription is not None:
            self._subscription.paused = paused

    def clock_jumped_back(self, now_ns: int) -> None:
        """The node's clock went back to ``now_ns``: start a new map if the map's stamps lie in its future."""

        def check() -> None:
            if self._timestamps.clock_jumped_back(now_ns):
                self._log.warn("clock jump", "the clock jumped back: starting a new map")
                with self._tracking.holding():
                    self._runner.end_map("the clock jumped back")

        self._with_engine(check)

    # ---- state ---------------------------------------------------------------------------------------------------

    def status(self) -> SlamStatus:
        """Return state, counters and times of the stages; safe from any thread."""
        runner = self._runner
        return status_message(
            StatusValues(
                engine=runner.status(),
                counters=self._counters,
                stage_ms=runner.stage_ms() | self._builder.timer.average_ms(),
                paused=self._paused,
                newest_stamp_ns=runner.newest_stamp_ns,
                newest_problem=self._log.newest,
                map_frame=self.settings.map_frame,
                weights=self.weights,
                mapping_load=runner.mapping_load,
                scale=self._outputs.scale.metres_per_unit,
                scale_source=self._scale_source(),
                scale_estimate=self._outputs.scale_estimation.estimate,
            )
        )

    def input_statistics(self) -> InputStatistics:
        """Return how images have come in since the last call."""
        counters = self._counters
        since_s = counters.received.since_last_s()
        drops, rejections = counters.dropped - self._reported_drops, counters.rejected - self._reported_rejections
        self._reported_drops, self._reported_rejections = counters.dropped, counters.rejected
        missing, self._reported_missing = counters.missing - self._reported_missing, counters.missing
        return InputStatistics(
            topic="" if self._subscription is None else self._subscription.topic,
            silent_s=time.monotonic() - self._active_since_s if since_s is None else since_s,
            timeout_s=self.settings.image_timeout,
            time_jumps=self._timestamps.backward_jumps,
            recently_dropped=drops,
            recently_rejected=rejections,
            missing=counters.missing,
            recently_missing=missing,
        )

    @property
    def failure(self) -> Exception | None:
        """The exception that ended one of the threads, if one did."""
        threads = (self._mapping, self._tracking, self._outputs)
        return next((t.failure for t in threads if t is not None and t.failure is not None), None)

    @property
    def publishing_failed(self) -> bool:
        """Whether the publishing thread failed: only configuring the node again starts a new one."""
        return self._outputs.failure is not None

    # ---- how -----------------------------------------------------------------------------------------------------

    def _stop_stuck_threads(self, time_limit_s: float) -> bool:
        """Whether all threads that were stopped have ended, or do within the time limit of each."""
        self._stuck = [thread for thread in self._stuck if not thread.stop(time_limit_s)]
        return not self._stuck

    def _with_engine(self, action: Callable[[], Result]) -> Future[Result]:
        """Run an action that uses the engine: in the mapping thread if there is one, here if not."""
        if self._mapping is not None and self._mapping.failure is None:
            return self._mapping.submit(action)
        request = Request(action)
        if self._stop_stuck_threads(0.0):
            request.run()
        else:
            request.reject(ThreadStuckError("a thread has not finished its image"))
        return request.future

    def _reset(self, reason: str) -> None:
        with self._tracking.holding():
            self._runner.reset(reason)

    def _report_failed_change(self, done: Future[None]) -> None:
        if (error := done.exception()) is not None:
            self._log.error("parameters", f"parameters are set and not in use yet: {error}")

    def _scale_source(self) -> str:
        return "known" if self._outputs.scale.is_set_by_user else self.settings.scale_source

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds

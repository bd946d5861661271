"""What the tracking thread and the mapping thread run where visual odometry tracks every image."""

from __future__ import annotations

import queue
from collections.abc import Sequence

from slam3r_ros.engine.events import Update
from slam3r_ros.engine.live_slam import LiveSlam
from slam3r_ros.engine.live_tracking import MappingRequest
from slam3r_ros.io.save import SavedMap
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.ros.input.frame_builder import ReadyFrame
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.ros.pipeline.map_recording import MapChange, MapRecording
from slam3r_ros.ros.pipeline.slam_runner import FAILURES, EngineRunner, NodeCallbacks
from slam3r_ros.ros.threads.counters import Counters
from slam3r_ros.ros.threads.drop_oldest_queue import DropOldestQueue
from slam3r_ros.ros.throttled_log import ThrottledLog
from slam3r_ros.types import EncodedAhead, PoseUpdate

Work = MappingRequest | int
"""What the mapping thread is asked for: a request of the engine, or the number of an epoch with which a new map
begins."""


class LiveRunner(EngineRunner):
    """Tracks each image on the tracking thread, which publishes its pose at once, and maps on the mapping thread.

    `track` is called by the tracking thread, everything else by the mapping thread. What it does with a pose besides
    publishing it happens on the mapping thread, too: an image waits for no file.
    """

    def __init__(
        self,
        slam: LiveSlam,
        outputs: Outputs,
        log: ThrottledLog,
        callbacks: NodeCallbacks,
        counters: Counters,
        recording: MapRecording | None,
        work: DropOldestQueue[Work],
    ) -> None:
        """``work``: where the mapping thread takes what is to be done; one piece waits, a newer one replaces it."""
        super().__init__(slam, outputs, log, callbacks, counters, recording)
        self._live, self._work = slam, work
        self._wanted_epoch = 0  # of the newest image
        self._poses: queue.SimpleQueue[PoseUpdate] = queue.SimpleQueue()  # published, for the mapping thread
        self._next_pose: PoseUpdate | None = None  # the first of them
        self._corrections = 0  # emitted in the present map
        self._was_elsewhere = False  # whether the present map was a loaded one, in which the camera was not found yet

    # ---- the tracking thread -------------------------------------------------------------------------------------

    def track(self, frame: ReadyFrame) -> int:
        """Track an image and publish its pose; returns how many images were dropped: 1 where this one was, since the
        map has to end first, 0 else."""
        if frame.epoch != self._epoch:
            if frame.epoch != self._wanted_epoch:
                self._wanted_epoch = frame.epoch
                self._work.put(frame.epoch)
            return 1
        assert not isinstance(frame.frame, EncodedAhead)
        try:
            request = self._live.track(frame.frame)
        except FAILURES as error:
            self._counters.add_rejected(1)
            self._log.error("engine", f"image refused by the engine: {type(error).__name__}: {error}")
            return 0
        self._counters.processed.tick()
        self._newest_stamp_ns = frame.stamp_ns
        self._is_flushed = False
        if request is not None:
            self._work.put(request)
        return 0

    # ---- the mapping thread --------------------------------------------------------------------------------------

    def process(self, work: Sequence[Work]) -> None:
        """Map what tracking has asked for, or end the map where time has jumped back."""
        for each in work:
            if isinstance(each, int):
                self.end_map("time jumped back")
                self._epoch = each
                continue
            try:
                self._live.map(each)
            except FAILURES as error:
                self._log.error("engine", f"a keyframe could not be mapped: {type(error).__name__}: {error}")
        self._publish_map_and_state()

    def reset(self, reason: str) -> None:
        """Forget the map and start a new one with the next image."""
        self._take_poses(all_of_them=True)
        self._corrections, self._was_elsewhere = 0, False
        super().reset(reason)

    def change_map(self, change: MapChange) -> None:
        """Go on in a map file that was read; no image may be tracked meanwhile."""
        self._take_poses(all_of_them=True)
        super().change_map(change)
        self._corrections, self._was_elsewhere = 0, False

    def publish_due(self) -> None:
        """Publish path, keyframes and map where they are due, and the state where it has changed."""
        self._publish_map_and_state()

    def save_without_flush(self, path: str) -> SavedMap:
        """As `EngineRunner.save_without_flush`, with all poses that have been published."""
        self._take_poses()
        return super().save_without_flush(path)

    @property
    def mapping_load(self) -> str:
        """Whether mapping keeps up with the keyframes, in one sentence."""
        thinned = self._live.status().keyframes_thinned
        if self._live.is_behind:
            return f"mapping is behind: keyframes are thinned, {thinned} so far; every image is tracked"
        return f"mapping keeps up; {thinned} keyframes were thinned so far" if thinned else "mapping keeps up"

    def _on_update(self, update: Update) -> None:
        if isinstance(update, PoseUpdate):
            if self._is_in_known_world(update):
                with self._publishing():
                    is_published = self._outputs.publish_pose(update)
                if is_published:
                    self._record_latency(update.header)
            self._poses.put(update)
            return
        self._take_poses()
        super()._on_update(update)
        self._corrections += isinstance(update, MapCorrection)

    def _is_in_known_world(self, pose: PoseUpdate) -> bool:
        """Whether a pose is in the world of the map: in a loaded map the camera has been found, and the pose has been
        moved there."""
        self._was_elsewhere |= not self._live.is_localized
        return self._live.is_localized and not (self._was_elsewhere and pose.world_changes == 0)

    def _publish_map_and_state(self) -> None:
        self._take_poses()
        super()._publish_map_and_state()

    def _take_poses(self, *, all_of_them: bool = False) -> None:
        """Note the poses that have been published, but for those that a closed loop has moved whose event is still to
        come."""
        while True:
            if self._next_pose is None:
                try:
                    self._next_pose = self._poses.get_nowait()
                except queue.Empty:
                    return
            if self._next_pose.world_changes > self._corrections and not all_of_them:
                return
            # A loop whose event has come meanwhile has not moved it in the file.
            pose, self._next_pose = self._live.moved(self._next_pose, self._corrections), None
            self._recording.write(pose)
            if self._is_in_known_world(pose):
                self._outputs.observe(pose)

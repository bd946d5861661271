"""What becomes of a registered frame: visual odometry refines it, and it becomes a place of loop closure.

Visual odometry and loop closure know nothing of each other. Here a keyframe of the one becomes a place for the other, a
frame that the one has lost is looked for among the other's places, and a closed loop moves them both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from slam3r_ros.device.host_transfer import to_host
from slam3r_ros.engine.loaded_map import LoadedMap
from slam3r_ros.engine.stage_timer import StageTimer
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.loop_closure.loop_closer import LoopCloser
from slam3r_ros.loop_closure.place import Place, PlaceView
from slam3r_ros.loop_closure.place_search import PlaceHint
from slam3r_ros.loop_closure.scale_edges import ScaleObservation
from slam3r_ros.odometry.frame_tracker import FrameTracker
from slam3r_ros.odometry.keyframe_changes import WindowCorrection
from slam3r_ros.odometry.odometry_stage import OdometryStage, RefinedFrame, TrackingState
from slam3r_ros.types import RegisteredFrame, StreamFrame
from slam3r_ros.vision.feature_image import FeatureImage


class KeyframeRefinement:
    """Takes registered frames in their order; does nothing where visual odometry is off."""

    def __init__(self, odometry: OdometryStage | None, loop_closer: LoopCloser | None, timer: StageTimer) -> None:
        """``loop_closer``: None where loops are not closed; needs visual odometry."""
        self._odometry, self._loop_closer, self._timer = odometry, loop_closer, timer

    @property
    def is_on(self) -> bool:
        """Whether there is visual odometry to refine anything."""
        return self._odometry is not None

    def focal_px(self, frame: StreamFrame) -> float | None:
        """The focal length of the frame's crop that visual odometry has found, pixels; None where it needs none, or has
        none yet."""
        return None if self._odometry is None else self._odometry.focal_px(frame)

    def refine(self, frame: RegisteredFrame) -> RefinedFrame:
        """The frame with its refined pose. Its points come with `finish`, to be asked before the next frame."""
        if self._odometry is None:
            return RefinedFrame(frame, None)
        with self._timer.stage("tracks"):
            refined = self._odometry.refine(frame, lambda image: self._relocalize(frame, image))
            if refined.tracked is None and self._loop_closer is not None:
                self._loop_closer.lose()
        return refined

    @property
    def is_refining(self) -> bool:
        """Whether there are points still being refined, for which `finish` would wait."""
        return self._odometry is not None and self._odometry.is_refining

    def finish(self, refined: RefinedFrame) -> RegisteredFrame:
        """A frame as `refine` has returned it, with its refined points; a keyframe becomes a place to return to."""
        if self._odometry is None:
            return refined.frame
        with self._timer.stage("points"):
            finished = self._odometry.finish(refined)
        tracked = finished.tracked
        is_new_place = finished is not refined and tracked is not None and tracked.is_keyframe
        if is_new_place and tracked is not None and self._loop_closer is not None:
            self._loop_closer.offer(_place_view(finished.frame, tracked.frame.image))
        return finished.frame

    def close_loop(self) -> MapCorrection | None:
        """How the map is to be corrected, if the camera has come back to where it had been, or if keyframes have been
        adjusted by much since they were mapped; visual odometry is already. To be asked before the next frame is
        registered."""
        if self._odometry is None:
            return None
        with self._timer.stage("loops"):
            correction = None if self._loop_closer is None else self._loop_closer.collect()
            if correction is not None:
                self._odometry.correct(correction.newest)
            elif (adjusted := self._odometry.take_changes()) is not None:
                correction = _map_correction(adjusted)
                if self._loop_closer is not None:
                    self._loop_closer.correct(correction)
        return correction

    def correct(self, correction: MapCorrection) -> None:
        """Take over a correction of the map that does not come from a closed loop; no search may be under way."""
        if self._loop_closer is not None:
            self._loop_closer.correct(correction)
        if self._odometry is not None:
            self._odometry.correct(correction.newest)

    def check_can_begin_from(self, loaded: LoadedMap) -> None:
        """Raises ValueError where a map has no places, or where loops are not closed, since poses cannot be found in it
        then."""
        if self._loop_closer is None:
            raise ValueError(
                "a map can be loaded only where loops are closed: expected pose.tracks: on and loops.close: true"
            )
        if not loaded.places:
            raise ValueError("there are no places in the map to be localized by")

    def begin_from(self, loaded: LoadedMap) -> None:
        """Begin with the places of a loaded map. Raises ValueError as `check_can_begin_from` does."""
        self.check_can_begin_from(loaded)
        assert self._loop_closer is not None
        keeps = not loaded.extends
        self._loop_closer.begin_from(loaded.places, loaded.nodes, loaded.next_frame, keeps_places=keeps)

    def hint(self, hint: PlaceHint) -> int:
        """Say about where in the loaded map the camera is; returns how many places are near."""
        return 0 if self._loop_closer is None else self._loop_closer.hint(hint)

    def observe_scale(self, observations: Sequence[ScaleObservation]) -> None:
        """Say how long a scene unit is, by another sensor; nothing is done where loops are not closed."""
        if self._loop_closer is not None:
            self._loop_closer.observe_scale(observations)

    @property
    def newest_place(self) -> tuple[Place, Sim3] | None:
        """The place that the last `close_loop` has brought, with its node (1,); None where it has brought none."""
        return None if self._loop_closer is None else self._loop_closer.newest

    @property
    def is_localized(self) -> bool:
        """Whether poses are in the world of the map that was loaded, if one was."""
        return self._loop_closer is None or self._loop_closer.is_localized

    @property
    def place_count(self) -> int:
        """Number of places that are remembered."""
        return 0 if self._loop_closer is None else self._loop_closer.place_count

    @property
    def is_searching(self) -> bool:
        """Whether `close_loop` would wait for a search."""
        return self._loop_closer is not None and self._loop_closer.is_searching

    def tracking_state(self) -> TrackingState:
        """The tracks of the frame refined last. Raises ValueError where visual odometry is off."""
        return self._known_odometry.tracking_state()

    def resume(self, tracker: FrameTracker) -> None:
        """Take the tracks of the frame that is refined next, as they were followed elsewhere, unless there are none.
        Raises ValueError where visual odometry is off."""
        if not tracker.is_lost:
            self._known_odometry.resume(tracker)

    @property
    def _known_odometry(self) -> OdometryStage:
        if self._odometry is None:
            raise ValueError("keyframe refinement: there are no tracks, since visual odometry is off")
        return self._odometry

    @property
    def failure(self) -> str:
        """Why the last search for a loop failed; empty if none has."""
        return "" if self._loop_closer is None else self._loop_closer.failure

    def _relocalize(self, frame: RegisteredFrame, image: FeatureImage) -> tuple[Array, float | None] | None:
        """Relocalization: the pose (4, 4) and the logarithm of the scale of a frame that visual odometry has lost, by
        the remembered places; None where none shows the same."""
        if self._loop_closer is None:
            return None
        on_host = frame.on_host
        own = np.where(on_host.valid[..., None], on_host.points_camera, np.float32(0))
        view = PlaceView(
            frame.index, mean_token(frame.local.frame.tokens), image, own, on_host.confidence_camera, np.eye(4)
        )
        found = self._loop_closer.relocalize(view)
        if found is None:
            return None
        self._loop_closer.lose()  # the way here is not that of visual odometry
        return found.T_world_camera, found.log_scale


def mean_token(tokens: Tensor) -> NDArray[np.float32]:
    """(encoder width,) the mean of a frame's tokens (tokens, encoder width), by which places are compared first."""
    return np.asarray(to_host(tokens.float().mean(dim=0))[0])


def _place_view(frame: RegisteredFrame, image: FeatureImage) -> PlaceView:
    """A keyframe as place recognition sees it."""
    assert frame.pose is not None
    on_host, T = frame.on_host, frame.pose.T_world_camera
    return PlaceView(
        frame.index, mean_token(frame.local.frame.tokens), image, on_host.points_world, on_host.confidence, T
    )


def _map_correction(adjusted: WindowCorrection) -> MapCorrection:
    """The correction of the map by which it follows the sliding window: frames between two keyframes move partly with
    the one and partly with the other, and what is older than the window stays."""
    keyframes, changes = adjusted.indices, adjusted.world_changes
    indices = np.arange(keyframes[0], keyframes[-1] + 1)
    before = np.searchsorted(keyframes, indices, side="right") - 1
    after = np.minimum(before + 1, len(keyframes) - 1)
    shares = (indices - keyframes[before]) / np.maximum(keyframes[after] - keyframes[before], 1)
    steps = (changes[before].inverse() @ changes[after]).log() * shares[:, None]
    between = changes[before] @ Sim3.exp(steps)
    if keyframes[0] > 0:
        stays = Sim3.from_pose(np.eye(4)[None])
        indices, between = np.concatenate([[0], indices]), Sim3.concatenate([stays, between])
    return MapCorrection(indices, between)

"""From a reconstruction to a film."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.reconstruction import Reconstruction
from slam3r_ros.film.camera_moves import Stage, outside_camera, path_camera
from slam3r_ros.film.picture import CameraMarks, map_picture, panel, panel_width
from slam3r_ros.film.timeline import Timeline
from slam3r_ros.film.tuning import TUNING
from slam3r_ros.film.video_file import VideoFile
from slam3r_ros.geometry.frustum import frustum_corners
from slam3r_ros.io.map_axes import T_map_world, points_in_map, pose_in_map
from slam3r_ros.io.save import NothingMappedError
from slam3r_ros.render.cloud import SplatCloud
from slam3r_ros.render.keyframe_splats import keyframe_splats
from slam3r_ros.render.views import PerspectiveView

FilmView = Literal["growing", "path", "above", "orbit"]
VIEWS: tuple[FilmView, ...] = ("growing", "path", "above", "orbit")
"""The map as it grows, from behind and above; along the path; the map as it grows, from above; all around it."""
_MOST_THREADS = 4
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class FilmOptions:
    """What a film shows, and how large, long and fast it is."""

    view: FilmView = "growing"
    width: int = 1920
    """Pixels; an even number."""
    height: int = 1080
    """Pixels; an even number."""
    fps: float = 30.0
    """Pictures a second."""
    seconds: float | None = None
    """Duration without the ending; None: that of the recording, within limits."""
    confidence: float = 0.0
    """Points below this confidence are left out."""


@dataclass(frozen=True, slots=True, eq=False)
class FilmScene:
    """What all pictures of a film show parts of."""

    keyframes: Sequence[KeyframeView]
    """The keyframes; those that a picture shows are read from the file again, since all of them may be too many to be
    kept in memory."""
    cloud: SplatCloud
    """All points in map axes, in the order of the keyframes."""
    begins: NDArray[np.intp]
    """(K + 1,) where the points of each keyframe begin in the cloud."""
    timeline: Timeline
    stage: Stage
    marks: CameraMarks
    depths: tuple[float, float]
    """The distances between which the depths of the panel are coloured."""
    options: FilmOptions

    @classmethod
    def of(cls, reconstruction: Reconstruction, options: FilmOptions) -> FilmScene:
        """Raises NothingMappedError where there is nothing to show."""
        keyframes = reconstruction.keyframes
        if len(keyframes):
            cloud, begins = keyframe_splats(
                keyframes, most_points=TUNING.most_points, least_confidence=options.confidence
            )
            cloud = cloud.rotated(T_map_world[:3, :3])
        else:
            cloud, begins = SplatCloud.of_map(points_in_map(reconstruction.points)), np.zeros(1, np.intp)
        poses = [_without_images(view) for view in keyframes]
        if not len(cloud) or not (poses or len(reconstruction.trajectory)):
            raise NothingMappedError("there is no map to make a film of: no points, or no poses")
        seconds = TUNING.orbit_s if options.view == "orbit" and options.seconds is None else options.seconds
        timeline = Timeline.of(poses, reconstruction.trajectory, seconds, options.fps)
        stage = Stage.of(cloud, timeline)
        size = 2 * TUNING.frustum_share * stage.radius
        corners = [frustum_corners(view.camera, pose_in_map(view.T_world_camera), size) for view in poses]
        sample = (keyframes[number] for number in range(0, len(keyframes), max(1, len(keyframes) // 20)))
        known = [view.depth[np.isfinite(view.depth)] for view in sample]
        near, far = np.percentile(np.concatenate([*known, np.ones(1)]), [2, 95])
        return cls(
            keyframes, cloud, begins, timeline, stage, CameraMarks(corners, size), (float(near), float(far)), options
        )

    def picture(self, moment: int) -> NDArray[np.uint8]:
        """(height, width, 3) the picture of a moment of the timeline."""
        options, line = self.options, self.timeline
        count = int(line.keyframe_counts[moment])
        grows = options.view in ("growing", "above") and len(self.keyframes) > 0
        with_panel = options.view != "orbit" and len(self.keyframes) > 0
        beside = panel_width(options.width) if with_panel else 0
        size = (options.height, options.width - beside)
        cloud = self.cloud[: int(self.begins[count])] if grows else self.cloud
        path = line.path[: int(line.pose_counts[moment])] if grows else line.path
        shown = self.marks.corners[:count] if grows else self.marks.corners
        every = max(1, -(-len(shown) // TUNING.most_frustums))
        marks = CameraMarks([] if options.view == "path" else shown[::every], self.marks.size)
        shown_view = self.keyframes[count - 1] if with_panel else None
        if options.view == "path":
            path = path[:0]
        image = map_picture(cloud, self._view(moment, size), marks, path, shown_view if grows else None)
        if shown_view is None:
            return image
        words = [f"{line.recorded_s[moment]:.1f} s", f"{count} keyframes", f"{len(cloud):,} points shown"]
        left = panel((options.height, beside), shown_view, words, self.depths)
        return np.concatenate([left, image], axis=1)

    def _view(self, moment: int, size: tuple[int, int]) -> PerspectiveView:
        """Where a moment is seen from, in a picture of (height, width) pixels."""
        share = moment / max(len(self.timeline) - 1, 1)
        camera, down = outside_camera(size), np.radians(TUNING.down_degrees)
        if self.options.view == "path":
            recorded = self.keyframes[0].camera if len(self.keyframes) else camera
            return PerspectiveView(self.timeline.poses[moment], path_camera(size, recorded))
        if self.options.view == "above":
            return self.stage.from_outside(0.0, np.pi / 2, camera)
        if self.options.view == "orbit":
            return self.stage.from_outside(2 * np.pi * share, down, camera)
        return self.stage.from_outside(np.radians(TUNING.sweep_degrees) * np.cos(np.pi * share), down, camera)


def _without_images(view: KeyframeView) -> KeyframeView:
    """A keyframe of which pose, camera and stamp are kept."""
    nothing = np.empty((0, 0), np.float32)
    return replace(view, image=np.empty((0, 0, 3), np.uint8), depth=nothing, confidence=nothing, added=None)


def make_film(
    reconstruction: Reconstruction,
    path: Path,
    options: FilmOptions,
    progress: Callable[[int, int], bool] = lambda done, total: True,
) -> int:
    """Write a film as MP4, which replaces an earlier one only when it is complete; returns the number of pictures.

    ``progress`` is called with the number of pictures that are done and that of all; where it returns False the film
    ends there, and can be played. Raises NothingMappedError and OutputError.
    """
    scene = FilmScene.of(reconstruction, options)
    ending = 0 if options.view == "orbit" else round(TUNING.ending_s * options.fps)
    total = len(scene.timeline) + ending
    with VideoFile(path, (options.height, options.width), options.fps) as video:
        for image in in_parallel(scene.picture, range(len(scene.timeline))):
            video.add(image)
            if not progress(video.count, total):
                return video.count
        for _ in range(ending):
            video.add(image)
        progress(video.count, total)
        return video.count


def in_parallel(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the function of every item in their order, computed by threads that are a few items ahead."""
    threads = max(1, min(_MOST_THREADS, os.cpu_count() or 1))
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="film") as executor:
        try:
            for item in items:
                waiting.append(executor.submit(function, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

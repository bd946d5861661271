"""The cameras of the scene: some of the keyframes with their images, and the live camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import viser
from numpy.typing import NDArray

from slam3r_ros.viewer.chunk import Chunk
from slam3r_ros.viewer.colouring import keyframe_colour
from slam3r_ros.viewer.display_settings import Colouring, DisplaySettings, TimelineMode
from slam3r_ros.viewer.map_model import MapSnapshot
from slam3r_ros.viewer.scene.node_pose import move_node
from slam3r_ros.viewer.tuning import ViewerTuning

KEYFRAME_COLOUR = (120, 170, 255)
"""Colour of the keyframes' cameras."""
_ELSEWHERE_COSINE = 0.85
"""Cosine of the angle between two cameras' axes below which they look elsewhere."""
LIVE_COLOUR = (255, 140, 40)
"""Colour of the live camera, and of the keyframe at which the timeline stands."""


@dataclass(slots=True, eq=False)
class _ShownCamera:
    """A keyframe's camera as it was sent."""

    handle: viser.CameraFrustumHandle
    points: object
    """The points of its chunk: others mean another image."""
    has_image: bool
    placed: Chunk | None = None
    """The chunk whose pose the camera has."""


class Cameras:
    """Keeps viser's camera frustums in step with keyframes and live camera."""

    def __init__(self, scene: viser.SceneApi, tuning: ViewerTuning) -> None:
        self._scene, self._tuning = scene, tuning
        self._shown: dict[int, _ShownCamera] = {}
        self._live: viser.CameraFrustumHandle | None = None
        self._live_pose: NDArray[np.float64] = np.eye(4)

    def clear(self) -> None:
        """Remove all cameras."""
        for each in self._shown.values():
            each.handle.remove()
        if self._live is not None:
            self._live.remove()
        self._shown, self._live, self._live_pose = {}, None, np.eye(4)

    def update(self, snapshot: MapSnapshot, settings: DisplaySettings, map_size: float) -> None:
        """Draw the cameras of the keyframes that the timeline shows, at most so many that they can be told apart."""
        chunks = snapshot.chunks
        marked = settings.timeline_position if settings.timeline_mode is not TimelineMode.ALL else -1
        apart = self._tuning.frustum_distance * map_size
        told_apart = _told_apart(chunks, apart, self._tuning.most_frustums) if settings.shows_cameras else set()
        wanted = {
            chunk.id: chunk
            for position, chunk in enumerate(chunks)
            if settings.is_shown(position)
            and (position in told_apart or (position == marked and settings.shows_cameras))
        }
        for id in self._shown.keys() - wanted.keys():
            self._shown.pop(id).handle.remove()
        for id, chunk in wanted.items():
            shown = self._shown.get(id)
            if shown is None or shown.has_image != settings.shows_images or shown.points is not chunk.points:
                shown = self._send(chunk, settings.shows_images)
            if shown.placed is not chunk:
                move_node(shown.handle, chunk.T_map_camera)
                shown.placed = chunk
            is_marked = 0 <= marked < len(chunks) and chunk is chunks[marked]
            shown.handle.scale = map_size * (self._tuning.live_frustum_size if is_marked else self._tuning.frustum_size)
            shown.handle.color = LIVE_COLOUR if is_marked else _colour(chunk, settings)
        self._update_live(snapshot, map_size, is_visible=settings.timeline_mode is TimelineMode.ALL)

    def _send(self, chunk: Chunk, has_image: bool) -> _ShownCamera:
        handle = self._scene.add_camera_frustum(
            f"/map/cameras/{chunk.id}",
            chunk.vertical_fov_rad,
            chunk.aspect,
            thickness=1.5,
            thickness_units="screen",
            color=KEYFRAME_COLOUR,
            image=chunk.thumbnail() if has_image else None,
            format="jpeg",
            cast_shadow=False,
            receive_shadow=False,
        )
        self._shown[chunk.id] = shown = _ShownCamera(handle, chunk.points, has_image)
        return shown

    def _update_live(self, snapshot: MapSnapshot, map_size: float, *, is_visible: bool) -> None:
        T, view = snapshot.T_map_camera, snapshot.newest_view
        if T is None:
            return
        if self._live is None:
            fov, aspect = (0.8, 4 / 3) if view is None else _angles(snapshot.chunks)
            self._live = self._scene.add_camera_frustum(
                "/map/live_camera",
                fov,
                aspect,
                thickness=2.5,
                thickness_units="screen",
                color=LIVE_COLOUR,
                cast_shadow=False,
                receive_shadow=False,
                variant="filled",
            )
        elif snapshot.chunks:
            self._live.fov, self._live.aspect = _angles(snapshot.chunks)
        self._live.scale = map_size * self._tuning.live_frustum_size
        self._live.visible = is_visible
        if self._live_pose is not T and not np.array_equal(self._live_pose, T):
            move_node(self._live, T)
            self._live_pose = T


def _told_apart(chunks: tuple[Chunk, ...], apart: float, most: int) -> set[int]:
    """Positions of keyframes that are at least so far apart, or look elsewhere, and at most so many."""
    found: list[int] = []
    last: NDArray[np.float64] | None = None
    for position, chunk in enumerate(chunks):
        T = chunk.T_map_camera
        if (
            last is None
            or np.linalg.norm(T[:3, 3] - last[:3, 3]) >= apart
            or T[:3, 2] @ last[:3, 2] < _ELSEWHERE_COSINE
        ):
            found.append(position)
            last = T
    return set(found[:: -(-len(found) // most) or 1])


def _angles(chunks: tuple[Chunk, ...]) -> tuple[float, float]:
    """Vertical field of view, radians, and aspect of the newest keyframe."""
    return chunks[-1].vertical_fov_rad, chunks[-1].aspect


def _colour(chunk: Chunk, settings: DisplaySettings) -> tuple[int, int, int]:
    return keyframe_colour(chunk.id) if settings.colouring is Colouring.KEYFRAME else KEYFRAME_COLOUR

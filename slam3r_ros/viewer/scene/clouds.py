"""The points of the map: one node of the scene for each keyframe, sent again only when its points change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import viser
from numpy.typing import NDArray

from slam3r_ros.viewer.chunk import Chunk, ChunkPoints
from slam3r_ros.viewer.colouring import colours_of
from slam3r_ros.viewer.display_settings import DisplaySettings
from slam3r_ros.viewer.extent import MapExtent
from slam3r_ros.viewer.scene.node_pose import move_node, quat_wxyz
from slam3r_ros.viewer.tuning import ViewerTuning


@dataclass(frozen=True, slots=True)
class _Filter:
    """What decides which points of a chunk are shown, and in which colour."""

    least_confidence: float
    low_height: float
    high_height: float
    colouring: str


@dataclass(slots=True, eq=False)
class _ShownCloud:
    """A cloud as it was sent."""

    handle: viser.PointCloudHandle
    chunk: Chunk
    filter: _Filter
    count: int


@dataclass(slots=True, eq=False)
class _Kept:
    """How many points of a chunk pass a filter."""

    chunk: Chunk
    filter: _Filter
    count: int


class Clouds:
    """Keeps viser's point clouds in step with the chunks."""

    def __init__(self, scene: viser.SceneApi, tuning: ViewerTuning) -> None:
        self._scene, self._tuning = scene, tuning
        self._shown: dict[int, _ShownCloud] = {}
        self._kept: dict[int, _Kept] = {}

    def clear(self) -> None:
        """Remove all clouds."""
        for each in self._shown.values():
            each.handle.remove()
        self._shown, self._kept = {}, {}

    @property
    def drawn_points(self) -> int:
        """Number of points that are drawn now."""
        return sum(each.count for each in self._shown.values() if each.handle.visible)

    def kept_counts(self, chunks: tuple[Chunk, ...], settings: DisplaySettings, extent: MapExtent) -> NDArray[np.int64]:
        """(K,) number of points of each chunk that confidence and height leave."""
        wanted = _filter_of(settings, extent)
        counts = np.empty(len(chunks), np.int64)
        for position, chunk in enumerate(chunks):
            known = self._kept.get(chunk.id)
            if known is None or known.filter != wanted or not _same_selection(known.chunk, chunk, settings):
                known = _Kept(chunk, wanted, int(_passes(chunk, wanted, settings.cuts_height).sum()))
                self._kept[chunk.id] = known
            counts[position] = known.count
        return counts

    def update(
        self, chunks: tuple[Chunk, ...], counts: NDArray[np.int64], settings: DisplaySettings, extent: MapExtent
    ) -> bool:
        """Draw ``counts`` (K,) points of K chunks; False where something is left for the next update."""
        wanted, sent, is_complete = _filter_of(settings, extent), 0, True
        self._remove_others(chunks)
        point_size = extent.size * settings.point_size_percent / 100
        for position in range(len(chunks) - 1, -1, -1):  # the newest first
            chunk, count = chunks[position], int(counts[position])
            shown = self._shown.get(chunk.id)
            is_visible = settings.shows_points and settings.is_shown(position)
            if not count:  # browsers take no cloud of nothing
                self._hide(shown)
                continue
            if shown is None or self._has_changed(shown, chunk, count, wanted, settings):
                if sent > self._tuning.points_sent_per_update or (shown is None and not is_visible):
                    is_complete &= not is_visible
                    continue
                points = _first_passing(chunk, count, wanted, settings.cuts_height)
                if not len(points):  # a rectangle has just removed them
                    self._hide(shown)
                    continue
                shown = self._send(chunk, points, count, wanted, settings, extent, point_size)
                sent += count
            _move(shown, chunk)
            shown.handle.point_size = point_size / chunk.scale
            shown.handle.visible = is_visible
        return is_complete

    @staticmethod
    def _hide(shown: _ShownCloud | None) -> None:
        """Hide a cloud that has no points now."""
        if shown is not None:
            shown.handle.visible, shown.count = False, 0

    def _remove_others(self, chunks: tuple[Chunk, ...]) -> None:
        """Remove the clouds whose chunks are gone."""
        for id in self._shown.keys() - {chunk.id for chunk in chunks}:
            self._shown.pop(id).handle.remove()
            self._kept.pop(id, None)

    def _has_changed(
        self, shown: _ShownCloud, chunk: Chunk, count: int, wanted: _Filter, settings: DisplaySettings
    ) -> bool:
        """Whether a cloud has to be sent again."""
        return (
            shown.count != count
            or shown.filter != wanted
            or shown.chunk.points is not chunk.points
            or ((settings.cuts_height or _uses_height(wanted)) and shown.chunk is not chunk)
        )

    def _send(
        self,
        chunk: Chunk,
        points: ChunkPoints,
        count: int,
        wanted: _Filter,
        settings: DisplaySettings,
        extent: MapExtent,
        point_size: float,
    ) -> _ShownCloud:
        heights = _heights(chunk, points)
        T = chunk.T_map_camera
        handle = self._scene.add_point_cloud(
            f"/map/points/{chunk.id}",
            points.camera,
            colours_of(chunk, points, heights, settings.colouring, extent),
            point_size=point_size / chunk.scale,
            point_shape="circle",
            point_shading="flat",
            scale=chunk.scale,
            wxyz=quat_wxyz(T),
            position=T[:3, 3],
        )
        self._shown[chunk.id] = shown = _ShownCloud(handle, chunk, wanted, count)
        return shown


def _move(shown: _ShownCloud, chunk: Chunk) -> None:
    """Put a cloud where its chunk lies now."""
    if shown.chunk is chunk:
        return
    move_node(shown.handle, chunk.T_map_camera)
    shown.handle.scale = chunk.scale
    shown.chunk = chunk


def _filter_of(settings: DisplaySettings, extent: MapExtent) -> _Filter:
    low, high = settings.height_band
    return _Filter(
        least_confidence=extent.least_confidence(settings.hidden_percent) if settings.hidden_percent else 0.0,
        low_height=extent.height(low) if low > 0 else -np.inf,
        high_height=extent.height(high) if high < 100 else np.inf,
        colouring=settings.colouring.value,
    )


def _uses_height(wanted: _Filter) -> bool:
    return wanted.colouring == "Height"


def _same_selection(known: Chunk, chunk: Chunk, settings: DisplaySettings) -> bool:
    """Whether the same points of a chunk pass a filter as before."""
    return known is chunk or (known.points is chunk.points and not settings.cuts_height)


def _passes(chunk: Chunk, wanted: _Filter, cuts_height: bool) -> NDArray[np.bool_]:
    """(N,) whether the points of a chunk are to be shown."""
    passes: NDArray[np.bool_] = chunk.points.confidence >= wanted.least_confidence
    if cuts_height:
        heights = _heights(chunk, chunk.points)
        passes &= (heights >= wanted.low_height) & (heights <= wanted.high_height)
    return passes


def _first_passing(chunk: Chunk, count: int, wanted: _Filter, cuts_height: bool) -> ChunkPoints:
    """The first ``count`` points of a chunk that are to be shown."""
    found = np.flatnonzero(_passes(chunk, wanted, cuts_height))[:count]
    return ChunkPoints(chunk.points.camera[found], chunk.points.colours[found], chunk.points.confidence[found])


def _heights(chunk: Chunk, points: ChunkPoints) -> NDArray[np.float32]:
    """(N,) heights of points of a chunk in the map, scene units."""
    T = chunk.T_map_camera
    heights: NDArray[np.float32] = points.camera.astype(np.float32) @ (T[2, :3] * chunk.scale).astype(np.float32)
    return heights + np.float32(T[2, 3])

"""The occupancy grid ~/grid: a latched nav_msgs/OccupancyGrid, as Nav2's static layer takes it."""

from __future__ import annotations

import array
from dataclasses import dataclass, replace

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion
from nav_msgs.msg import MapMetaData
from nav_msgs.msg import OccupancyGrid as OccupancyGridMessage
from rclpy.node import Node

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.io.map_axes import T_map_world, points_in_map, pose_in_map
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.occupancy.grid import GridImage, OccupancyGrid
from slam3r_ros.occupancy.scan import HeightBand, virtual_scan
from slam3r_ros.ros.output.camera_extrinsics import CameraExtrinsics
from slam3r_ros.ros.output.map_scale import MapScale
from slam3r_ros.ros.output.messages import header, time_message
from slam3r_ros.ros.output.publication_schedule import PublicationSchedule
from slam3r_ros.ros.output.tuning import TUNING
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.ros.threads.async_publisher import AsyncPublisher
from slam3r_ros.ros.throttled_log import ThrottledLog
from slam3r_ros.types import MapPoints

_PIXEL_STEP = 2
"""Distance, in pixels of a keyframe's depth, from one used pixel to the next, along rows and columns."""


@dataclass(frozen=True, slots=True, eq=False)
class _SeenKeyframe:
    """What a keyframe shows, in scene units."""

    index: int
    """Number of its frame."""
    stamp_ns: int
    """Stamp of its image, integer nanoseconds."""
    frame_id: str
    """Name of the camera's frame."""
    T_world_camera: Array
    """(4, 4) pose."""
    points: MapPoints
    """Its points in the world."""

    def corrected(self, correction: MapCorrection) -> _SeenKeyframe:
        """The keyframe after a closed loop has moved it."""
        change = correction.of_frames(np.array([self.index]))
        moved = change.apply(self.points.points_world).astype(np.float32)
        T = change.apply_to_pose(self.T_world_camera[None])[0]
        return replace(self, T_world_camera=T, points=replace(self.points, points_world=moved))


class GridOutput:
    """Makes the grid of the keyframes' depths. Used by the mapping thread, but for the making of messages.

    Heights and cells are metres: as long as the scale is not known, keyframes wait for it.
    """

    def __init__(
        self,
        node: Node,
        settings: NodeSettings,
        log: ThrottledLog,
        publisher: AsyncPublisher,
        extrinsics: CameraExtrinsics,
    ) -> None:
        self._node, self._settings, self._log, self._extrinsics = node, settings, log, extrinsics
        self._band = HeightBand(settings.grid_min_height, settings.grid_max_height)
        self._grid = OccupancyGrid(settings.grid_resolution)
        self._topic = node.create_publisher(OccupancyGridMessage, "~/grid", LATCHED)
        self._publisher = publisher
        self._queue = publisher.topic_queue(self._topic)
        self._schedule = PublicationSchedule(settings.grid_period)
        self._waiting: dict[int, _SeenKeyframe] = {}  # by the numbers of their views

    def observe(self, view: KeyframeView, scale: MapScale) -> None:
        """Take a keyframe in. Without metres it waits for them."""
        header, points = view.header, view.points(pixel_step=_PIXEL_STEP)
        seen = _SeenKeyframe(view.index, header.stamp_ns, header.frame_id, view.T_world_camera, points)
        if scale.metres_per_unit:
            self._put(view.id, seen, scale.unit)
            return
        self._log.warn(
            "grid scale",
            "no ~/grid: the scale of the map is not known; set scale, call ~/set_scale or choose a scale_source",
        )
        self._waiting[view.id] = seen
        if len(self._waiting) > TUNING.most_waiting_for_scale:
            for each in list(self._waiting)[1::2]:
                del self._waiting[each]

    def _put(self, key: int, seen: _SeenKeyframe, unit: float) -> None:
        """Put a keyframe into the grid; ``unit`` is the length of a scene unit in metres."""
        T_map_camera = pose_in_map(seen.T_world_camera, unit)
        base = self._extrinsics.base(seen.stamp_ns, seen.frame_id)
        if base is None:
            return
        floor = float((T_map_camera @ base.T_camera_base)[2, 3]) - self._settings.grid_base_height
        points = points_in_map(seen.points, unit).points_world
        self._grid.put(key, virtual_scan(seen.index, points, T_map_camera[:3, 3], floor, self._band))
        if self._grid.left_out:
            self._log.warn("grid size", f"{self._grid.left_out} keyframes are outside of the largest grid and left out")
        self._schedule.mark_changed()

    def correct(self, correction: MapCorrection, unit: float) -> None:
        """Move the grid as a closed loop says."""
        self._waiting = {key: seen.corrected(correction) for key, seen in self._waiting.items()}
        if not len(self._grid):
            return
        changes, R = correction.of_frames(self._grid.indices), T_map_world[:3, :3]
        self._grid.correct(Sim3(changes.scale, R @ changes.rotation @ R.T, unit * changes.translation @ R.T))
        self._schedule.mark_changed()

    def rescale(self, before: float, scale: MapScale) -> None:
        """Follow a change of the published length of a scene unit, which was ``before``; what has waited for metres
        comes into the grid."""
        count, factor = len(self._grid), scale.unit / before
        if count and factor != 1:
            self._grid.correct(Sim3(np.full(count, factor), np.tile(np.eye(3), (count, 1, 1)), np.zeros((count, 3))))
            self._schedule.mark_changed()
        if scale.metres_per_unit:
            waiting, self._waiting = self._waiting, {}
            for key, seen in waiting.items():
                self._put(key, seen, scale.unit)

    def change_settings(self, settings: NodeSettings) -> None:
        """Use other heights from the next keyframe on, another period, and cells of another size, in which the whole
        grid is drawn again."""
        is_redrawn = settings.grid_resolution != self._settings.grid_resolution
        self._settings = settings
        self._band = HeightBand(settings.grid_min_height, settings.grid_max_height)
        self._schedule.period_s = settings.grid_period
        if is_redrawn:
            self._grid.set_resolution(settings.grid_resolution)
            self._schedule.mark_changed()

    def publish_due(self, stamp_ns: int, unit: float) -> None:
        """Publish the grid where it has changed, somebody subscribes and its period has passed."""
        if self._schedule.start_if_due(self._queue):
            self._publish(stamp_ns)

    def _publish(self, stamp_ns: int) -> None:
        """Publish the grid with the stamp of the newest image."""
        image, frame = self._grid.image(), self._settings.map_frame
        self._queue.put(lambda: grid_message(image, stamp_ns, frame))

    def reset(self, stamp_ns: int, unit: float) -> None:
        """Begin anew with another map, and publish that it is empty."""
        self._grid.clear()
        self._waiting.clear()
        self._publish(stamp_ns)

    def destroy(self) -> None:
        """Destroy the publisher."""
        self._publisher.remove(self._queue)
        self._node.destroy_publisher(self._topic)


def grid_message(image: GridImage, stamp_ns: int, frame: str) -> OccupancyGridMessage:
    """Return the message of a grid: row by row along x, from the corner at the smallest x and y."""
    rows, columns = image.cells.shape
    origin = Pose(position=Point(x=image.origin[0], y=image.origin[1]), orientation=Quaternion(w=1.0))
    stamp = time_message(stamp_ns)
    info = MapMetaData(map_load_time=stamp, resolution=image.resolution, width=columns, height=rows, origin=origin)
    return OccupancyGridMessage(header=header(stamp_ns, frame), info=info, data=array.array("b", image.cells.tobytes()))

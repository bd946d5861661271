"""Maps of map files on a running node: `~/load_map`, `~/localize_near` and the topic `initialpose`."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future

from geometry_msgs.msg import Point, PoseWithCovarianceStamped
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile

from slam3r_ros.ros.pipeline.session import Session
from slam3r_ros.ros.services import NOT_CONFIGURED, REQUEST_FAILURES, failed, result_of
from slam3r_ros.ros.throttled_log import ThrottledLog
from slam3r_ros.setting_spec import SettingError
from slam3r_ros.srv import LoadMap, LocalizeNear

MODES = {"continue": False, "localize": True}
"""Whether the camera is only localized in the map, by the mode of ~/load_map."""
_RADIUS_SIGMAS = 3.0
"""Radius around a pose with a covariance, in standard deviations of its position."""


class MapServices:
    """Answers to what concerns loaded maps."""

    def __init__(
        self,
        node: Node,
        session: Callable[[], Session | None],
        log: ThrottledLog,
        group: CallbackGroup,
        on_change: Callable[[], None],
    ) -> None:
        """``session`` returns that of the node, None while it has none; ``on_change`` is called when another map
        is in use."""
        self._node, self._session, self._log, self._on_change = node, session, log, on_change
        node.create_service(LoadMap, "~/load_map", self._on_load_map, callback_group=group)
        node.create_service(LocalizeNear, "~/localize_near", self._on_localize_near, callback_group=group)
        node.create_subscription(PoseWithCovarianceStamped, "initialpose", self._on_initial_pose, QoSProfile(depth=1))

    async def _on_load_map(self, request: LoadMap.Request, response: LoadMap.Response) -> LoadMap.Response:
        if (session := self._session()) is None:
            response.message = NOT_CONFIGURED
            return response
        if request.mode not in MODES:
            response.message = f"map not loaded: mode: expected {' or '.join(MODES)}, got '{request.mode}'"
            return response
        try:
            loading = session.load_map(request.path, only_localizes=MODES[request.mode])
            response.message = await result_of(self._node, loading)
        except REQUEST_FAILURES as error:
            return failed(self._log, response, "load map", f"map not loaded: {error}")
        response.success = True
        self._on_change()
        return response

    async def _on_localize_near(
        self, request: LocalizeNear.Request, response: LocalizeNear.Response
    ) -> LocalizeNear.Response:
        pose = request.pose
        try:
            looking = self._look_near(pose.header.frame_id, pose.pose.position, request.radius)
            response.message = _said(await result_of(self._node, looking))
        except REQUEST_FAILURES as error:
            return failed(self._log, response, "pose hint", f"pose not used: {error}")
        response.success = True
        return response

    def _on_initial_pose(self, message: PoseWithCovarianceStamped) -> None:
        """Take the pose that RViz's "2D Pose Estimate" tells."""
        variances = [each for each in message.pose.covariance[0:8:7] if math.isfinite(each) and each > 0]  # of x and y
        radius = _RADIUS_SIGMAS * math.sqrt(max(variances, default=0.0))

        def report(done: Future[int]) -> None:
            error = done.exception()
            if error is not None:
                self._log.warn("pose hint", f"initialpose not used: {error}")
            else:
                self._log.info_throttled("pose hint", f"initialpose: {_said(done.result())}")

        try:
            self._look_near(message.header.frame_id, message.pose.pose.position, radius).add_done_callback(report)
        except REQUEST_FAILURES as error:
            self._log.warn("pose hint", f"initialpose not used: {error}")

    def _look_near(self, frame: str, position: Point, radius: float) -> Future[int]:
        """Look for the camera near a position first; raises SettingError for what is no position on the map, and
        RuntimeError while the node is not configured."""
        if (session := self._session()) is None:
            raise RuntimeError(NOT_CONFIGURED)
        map_frame = session.settings.map_frame
        if frame not in ("", map_frame):
            raise SettingError(f"expected a pose in the map frame '{map_frame}', got one in '{frame}'")
        if not (math.isfinite(position.x) and math.isfinite(position.y)):
            raise SettingError(f"expected a position, got x {position.x} and y {position.y}")
        if not (math.isfinite(radius) and radius >= 0):
            raise SettingError(f"expected a radius of 0 or more, got {radius}")
        return session.localize_near((position.x, position.y), radius)


def _said(count: int) -> str:
    return f"{count} places of the loaded map near that pose are compared first"

"""The node `slam3r_viewer`: ``slam3r_viewer``, or ``python -m slam3r_ros.ros.viewer`` without a distribution."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from slam3r_ros.io.stop_signals import stop_on_signals
from slam3r_ros.ros.input.dds_transport import apply_transport
from slam3r_ros.ros.node import make_executor
from slam3r_ros.ros.start import RosStartError, start_ros
from slam3r_ros.ros.throttled_log import ThrottledLog
from slam3r_ros.ros.viewer.live_map_file import LiveMapFile
from slam3r_ros.ros.viewer.node_actions import NodeActions
from slam3r_ros.ros.viewer.topic_feeder import TopicFeeder
from slam3r_ros.viewer.map_model import MapModel
from slam3r_ros.viewer.map_page import MapPage
from slam3r_ros.viewer.page_arguments import add_page_arguments, page_address
from slam3r_ros.viewer.page_server import PageAddress, PageError

_SPIN_TIMEOUT_S = 0.2
"""Longest time, in seconds, that the executor waits for a callback before the main loop looks whether it is to stop."""
_SILENCE_PERIOD_S = 1.0
"""Seconds between two looks at whether the slam3r node has gone silent."""


class ViewerNode(Node):
    """Subscribes to a slam3r node and serves the page. Raises PageError where it cannot."""

    def __init__(self, address: PageAddress, source: str, **arguments: object) -> None:
        """``source`` is the name of the slam3r node; ``arguments`` are those of rclpy's Node."""
        super().__init__("slam3r_viewer", **arguments)
        model = MapModel()
        log = ThrottledLog(self.get_logger(), lambda: self.get_clock().now().nanoseconds)
        name = self.resolve_service_name(source)
        self._feeder = TopicFeeder(self, name, model, log)
        self._actions = NodeActions(self, name, LiveMapFile(self, name, self._feeder, model))
        try:
            self.page = MapPage(model, address, self._actions, title="slam3r: live map")
            """The page."""
        except PageError:
            self.destroy_node()
            raise
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_SILENCE_PERIOD_S, self._feeder.check_silence, clock=steady)
        self.get_logger().info(f"the map of {name} is shown at {self.page.server.url}")
        if address.advice:
            self.get_logger().warning(address.advice)

    def close(self) -> None:
        """Stop serving the page."""
        self.page.close()
        self._actions.close()


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser("slam3r_viewer", description="Show the map of a slam3r node in the browser, live.")
    made.add_argument("--node", default="slam3r", help="name of the slam3r node (default: %(default)s)")
    add_page_arguments(made)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; 0 if it ended as asked, 2 if it cannot begin."""
    words = list(sys.argv if arguments is None else ["slam3r_viewer", *arguments])
    parsed = parser().parse_args(remove_ros_args(words)[1:])
    advice = apply_transport(os.environ)
    try:
        start_ros(words)
    except RosStartError as error:
        print(f"slam3r_viewer: {error}", file=sys.stderr)
        return 2
    with stop_on_signals() as stop:
        try:
            node = ViewerNode(page_address(parsed), parsed.node)
        except PageError as error:
            print(f"slam3r_viewer: {error}", file=sys.stderr)
            rclpy.try_shutdown()
            return 2
        if advice:
            node.get_logger().warning(advice)
        executor = make_executor()
        executor.add_node(node)
        try:
            while not stop.is_set():
                executor.spin_once(timeout_sec=_SPIN_TIMEOUT_S)
        except ExternalShutdownException:
            node.get_logger().info("shut down from outside")
        finally:
            node.close()
            executor.shutdown()
            node.destroy_node()
            rclpy.try_shutdown()
    return 0

"""The page's buttons and the real node's services; measuring in a real browser sets the scale of the real node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from browser import opened
from playwright.sync_api import Browser
from rclpy.context import Context
from ros_harness import PATIENCE_S, Bench, running_node, spinning, wait_until
from slam3r_ros.msg import SlamStatus
from viewer_map import pose, view

from slam3r_ros.io.image_compression import decode_jpeg
from slam3r_ros.ros.viewer.viewer_node import ViewerNode
from slam3r_ros.viewer.display_settings import DisplaySettings
from slam3r_ros.viewer.map_actions import ActionError
from slam3r_ros.viewer.page_server import PageAddress

KEYFRAMES, PATIENCE_MS = 6, 30_000


@contextmanager
def node_and_viewer(context: Context, weights: Path) -> Iterator[tuple[Bench, ViewerNode]]:
    """A slam3r node, and the viewer that shows it."""
    with running_node(context, weights) as bench:
        viewer = ViewerNode(PageAddress(port=0), "slam3r", context=context)
        try:
            with spinning(context, viewer):
                model = viewer.page.model
                wait_until(lambda: model.snapshot().status.state == "WAITING_FOR_IMAGES", "the node's status has come")
                actions = viewer.page.actions
                for client in (actions._pause, actions._reset, actions._save, actions._set_scale):
                    assert client.wait_for_service(PATIENCE_S)
                yield bench, viewer
        finally:
            viewer.close()
            viewer.destroy_node()


def test_buttons_call_the_nodes_services(context: Context, golden: Path, tmp_path: Path) -> None:
    with node_and_viewer(context, golden / "networks") as (bench, viewer):
        actions, model = viewer.page.actions, viewer.page.model
        assert actions.pause(True) == "images are ignored"
        wait_until(lambda: model.snapshot().status.is_paused, "the page knows that the node pauses")
        assert bench.status.state == SlamStatus.PAUSED
        assert actions.pause(False) == "images are taken"
        assert "metres" in actions.set_scale(2.5)
        wait_until(lambda: model.snapshot().metres_per_unit == 2.5, "the page knows the scale")
        with pytest.raises(ActionError, match="metres_per_unit"):
            actions.set_scale(-1.0)
        with pytest.raises(ActionError, match="no keyframe yet"):
            actions.export("ply", tmp_path)
        with pytest.raises(ActionError, match="not saved"):
            actions.save("/proc/no/room.ply")
        assert "the map is empty" in actions.reset()


def test_a_node_that_is_not_there_is_named(context: Context) -> None:
    viewer = ViewerNode(PageAddress(port=0), "other", context=context)
    try:
        with spinning(context, viewer), pytest.raises(ActionError, match="the node /other cannot be reached"):
            viewer.page.actions.pause(True)
    finally:
        viewer.close()
        viewer.destroy_node()


def test_a_length_that_is_measured_in_the_browser_sets_the_scale_of_the_node(
    context: Context, golden: Path, chromium: Browser
) -> None:
    with node_and_viewer(context, golden / "networks") as (bench, viewer):
        model = viewer.page.model
        for number in range(KEYFRAMES):
            model.apply(view(number))
            model.put_pose(10 * number, pose(number))
        viewer.page.view.change_settings(
            lambda _: DisplaySettings(hidden_percent=0.0, point_size_percent=1.0, shows_cameras=False, shows_path=False)
        )
        with opened(chromium, viewer.page.server.url, (960, 600)) as visitor:
            columns: list[int] = []

            def wall() -> bool:
                red, green, _ = np.moveaxis(decode_jpeg(visitor.screenshot())[:, 240:620].astype(int), 2, 0)
                found = np.nonzero((red > 100) & (red > 2 * green))
                columns[:] = [] if len(found[0]) < 5000 else [int(np.median(found[0])), int(np.median(found[1])) + 240]
                return bool(columns)

            wait_until(wall, "the wall is drawn", PATIENCE_MS / 1000)
            row, column = columns
            visitor.get_by_role("tab", name="Tools").click()
            visitor.get_by_role("button", name="Measure").click()
            for number, ahead in enumerate(("Click the first point.", "Click the second point.")):
                visitor.get_by_text(ahead).wait_for(timeout=PATIENCE_MS)
                visitor.mouse.click(column + 40 * number, row)
            text = visitor.get_by_text("Distance:")
            text.wait_for(timeout=PATIENCE_MS)
            distance = float(text.inner_text().split()[1])
            visitor.get_by_label("True length (m)").fill("1.5")
            visitor.get_by_label("True length (m)").press("Enter")
            visitor.get_by_role("button", name="Set the scale").click()
            visitor.get_by_text("Distance: 1.5 m").wait_for(timeout=PATIENCE_MS)
        assert bench.status.scale * distance == pytest.approx(1.5, rel=0.01)

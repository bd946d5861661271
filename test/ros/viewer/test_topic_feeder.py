"""The live page's model from the node's topics, over real DDS: what arrives, late, after loops, scales and resets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from geometry_msgs.msg import Pose
from outputs_harness import Scene, pose_update
from rclpy.context import Context
from ros_harness import FIRST_NS, own_domain, spinning, wait_until
from slam3r_ros.msg import SlamStatus
from viewer_map import DEPTH, FRAMES_BETWEEN, pose, view

from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.ros.output.keyframe_views import KeyframeViewOutput, view_message
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.ros.viewer.messages import keyframe_view, pose_in_world
from slam3r_ros.ros.viewer.viewer_node import ViewerNode
from slam3r_ros.viewer.map_model import MapModel
from slam3r_ros.viewer.page_server import PageAddress


@pytest.fixture
def context() -> Iterator[Context]:
    with own_domain() as context:
        yield context


@contextmanager
def viewer(context: Context) -> Iterator[MapModel]:
    """A viewer's node that runs, and its model."""
    node = ViewerNode(PageAddress(port=0), "slam3r", context=context)
    try:
        with spinning(context, node):
            yield node.page.model
    finally:
        node.close()
        node.destroy_node()


def views_of(outputs: Outputs) -> KeyframeViewOutput:
    layer = outputs._layers._layers[KeyframeViewOutput]
    assert isinstance(layer, KeyframeViewOutput)
    return layer


def graph_only(outputs: Outputs) -> None:
    """Publish the graph as `Outputs.republish` does, without an engine's path and points."""
    views_of(outputs).publish_graph(FIRST_NS, outputs.scale.unit)


def ids(model: MapModel) -> list[int]:
    return [chunk.id for chunk in model.snapshot().chunks]


def correction() -> MapCorrection:
    changes = Sim3(np.array([1.0, 2.0]), np.stack([np.eye(3)] * 2), np.array([[0, 0, 0], [0, 1.0, 0]]))
    return MapCorrection(np.array([0, 2 * FRAMES_BETWEEN]), changes, np.array([[0, 2 * FRAMES_BETWEEN]]))


def test_a_message_gives_the_view_back_in_the_engines_world() -> None:
    original = view(3)
    message = view_message(original, 7, 1, "map", unit=2.5)
    back = keyframe_view(message)
    assert (back.id, back.index, back.header.stamp_ns) == (3, 30, original.header.stamp_ns)
    assert (message.map_id, message.graph_number, message.unit) == (7, 1, 2.5)
    np.testing.assert_allclose(back.T_world_camera, original.T_world_camera, atol=1e-12)
    np.testing.assert_allclose(back.depth, original.depth, rtol=1e-3)
    np.testing.assert_allclose(back.confidence, original.confidence, atol=0.03)
    assert back.camera == original.camera
    assert np.abs(back.image.astype(int) - original.image).mean() < 6
    published = message.pose.position  # metres, x forward, y left
    assert (published.x, published.y) == (0.0, -2.5 * 1.5)


def test_a_pose_comes_back_in_scene_units() -> None:
    message = Pose()
    message.position.x, message.position.y, message.position.z, message.orientation.w = 2.0, -4.0, 6.0, 1.0
    np.testing.assert_allclose(pose_in_world(message, 2.0)[:3, 3], [2.0, -3.0, 1.0])


def test_what_the_node_publishes_is_shown(context: Context) -> None:
    scene = Scene(context)
    with spinning(context, scene.node, scene.camera.node):
        outputs = scene.outputs()
        for number in range(2):
            outputs.publish(view(number))
        with viewer(context) as model:
            wait_until(lambda: ids(model) == [0, 1], "the keyframes of before have come to a late viewer")
            outputs.publish(view(2))
            wait_until(lambda: ids(model) == [0, 1, 2], "a new keyframe has come")
            wait_until(lambda: outputs._pose.get_subscription_count() > 1, "the viewer hears poses")
            outputs.publish(pose_update(pose(2), index=2 * FRAMES_BETWEEN))
            wait_until(lambda: model.snapshot().T_map_camera is not None, "the live camera has come")
            live = model.snapshot().T_map_camera
            assert live is not None
            np.testing.assert_allclose(live, model.snapshot().chunks[2].T_map_camera, atol=1e-9)

            outputs.publish(correction())
            graph_only(outputs)
            wait_until(lambda: model.snapshot().chunks[2].scale == 2.0, "the loop has moved what it moves")
            corrected = view(2).corrected(correction())
            np.testing.assert_allclose(model.snapshot().chunks[2].T_world_camera, corrected.T_world_camera, atol=1e-9)
            assert model.snapshot().loops == ((0, 2),)

        with viewer(context) as late:
            wait_until(lambda: ids(late) == [0, 1, 2] and late.snapshot().chunks[2].scale == 2.0, "late and corrected")
            outputs.publish(view(2))  # made anew after the loop: the graph of before does not hold for it
            wait_until(lambda: late.snapshot().chunks[2].scale == 1.0, "the new view replaces the old one")
        outputs.destroy()


def test_a_reset_and_a_node_that_starts_anew_empty_the_page(context: Context) -> None:
    scene = Scene(context)
    with spinning(context, scene.node, scene.camera.node), viewer(context) as model:
        outputs = scene.outputs()
        outputs.publish(view(0))
        wait_until(lambda: ids(model) == [0], "the first keyframe has come")
        outputs._layers.reset(0, 1.0)
        wait_until(lambda: ids(model) == [], "the reset has emptied the page")
        outputs.publish(view(1))
        wait_until(lambda: ids(model) == [1], "the new map's keyframe has come")
        outputs.destroy()
        anew = scene.outputs()
        wait_until(lambda: ids(model) == [], "the node that started anew has emptied the page")
        anew.publish(view(5))
        wait_until(lambda: ids(model) == [5], "its keyframe has come")
        anew.destroy()


def test_the_scale_changes_lengths_and_moves_nothing(context: Context) -> None:
    scene = Scene(context)
    statuses = scene.node.create_publisher(SlamStatus, "~/status", LATCHED)
    with spinning(context, scene.node, scene.camera.node), viewer(context) as model:
        outputs = scene.outputs()
        outputs.publish(view(0))
        wait_until(lambda: ids(model) == [0], "the first keyframe has come")
        outputs.scale.set(3.0)
        graph_only(outputs)
        statuses.publish(SlamStatus(scale=3.0, state=2, state_name="TRACKING", reason="<b>well</b>", frame_rate=29.5))
        wait_until(lambda: model.snapshot().unit == 3.0, "the scale has come")
        outputs.publish(view(1))
        wait_until(lambda: ids(model) == [0, 1], "a keyframe in metres has come")
        snapshot = model.snapshot()
        np.testing.assert_allclose(snapshot.chunks[1].T_world_camera, pose(1), atol=1e-9)
        np.testing.assert_allclose(snapshot.chunks[1].points_map()[:, 0], DEPTH, rtol=2e-3)
        assert snapshot.length_text(DEPTH) == "6 m"
        assert (snapshot.status.state, snapshot.status.frame_rate) == ("TRACKING", 29.5)
        outputs.destroy()


def test_a_broken_keyframe_is_left_out(context: Context) -> None:
    scene = Scene(context)
    with spinning(context, scene.node, scene.camera.node), viewer(context) as model:
        outputs = scene.outputs()
        views = views_of(outputs)
        broken = view_message(view(0), views._map_id, 0, "map", 1.0)
        broken.depth.data = broken.depth.data[:30]
        views._views.publish(broken)
        outputs.publish(view(1))
        wait_until(lambda: ids(model) == [1], "the whole keyframe has come")
        outputs.destroy()


def test_views_are_not_published_where_nobody_wants_them(context: Context) -> None:
    scene = Scene(context)
    with spinning(context, scene.node, scene.camera.node):
        outputs = scene.outputs(publish_views=False)
        outputs.publish(view(0))
        assert scene.node.count_publishers("/slam3r/keyframe_view") == 0
        outputs.destroy()

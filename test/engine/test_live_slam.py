"""The engine on two threads: poses that come after the event of a closed loop."""

from __future__ import annotations

import numpy as np
from map_file_events import header_of, pose_of

from slam3r_ros.engine.live_slam import LiveSlam
from slam3r_ros.geometry.se3 import rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.networks.weights import Networks
from slam3r_ros.types import PoseUpdate


def test_a_pose_is_moved_by_the_corrections_that_it_does_not_know(tiny_networks: Networks) -> None:
    slam = LiveSlam(tiny_networks)
    first, second = (
        Sim3(scale, rotation_from_vector(np.array([0.0, scale, 0.0])), [scale, 0.0, 0.0]) for scale in (2.0, 0.5)
    )
    slam._map_state.world_changes += [first, second]
    update = PoseUpdate(7, header_of(7), pose_of(7), False, 1)
    T = update.pose.T_world_camera
    moved = slam.moved(update, 2)
    assert moved.world_changes == 2 and moved.index == 7
    np.testing.assert_allclose(moved.pose.T_world_camera, second.apply_to_pose(T))
    assert moved.pose.scale == 0.5 * update.pose.scale
    for known in (slam.moved(update, 1), slam.moved(update, 0)):
        np.testing.assert_array_equal(known.pose.T_world_camera, T)
        assert known.world_changes == 1

"""Dead reckoning adds motions up, and knows which of them it has missed."""

from __future__ import annotations

import numpy as np

from slam3r_ros.geometry.dead_reckoning import DeadReckoning
from slam3r_ros.geometry.se3 import rigid, rotation_from_vector

QUARTER = rigid(rotation_from_vector([0, np.pi / 2, 0]), [0, 0, 0])
"""A turn to the right: y points down."""
AHEAD = rigid(np.eye(3), [0, 0, 1])


def test_motions_are_along_the_axes_of_the_camera_as_it_is_then() -> None:
    reckoned = DeadReckoning.begin().moved(AHEAD).moved(QUARTER).moved(AHEAD).moved(AHEAD)
    np.testing.assert_allclose(reckoned.T_start_camera[:3, 3], [2, 0, 1], atol=1e-15)
    assert reckoned.interruptions == 0


def test_the_motion_between_two_poses_is_known_unless_it_was_interrupted() -> None:
    before = DeadReckoning.begin().moved(QUARTER).moved(AHEAD)
    motion = before.motion_to(before.moved(QUARTER).moved(AHEAD))
    assert motion is not None
    np.testing.assert_allclose(motion, QUARTER @ AHEAD, atol=1e-15)
    later = before.interrupted()
    np.testing.assert_array_equal(later.T_start_camera, before.T_start_camera)
    assert before.motion_to(later.moved(AHEAD)) is None
    assert later.motion_to(later.moved(AHEAD)) is not None

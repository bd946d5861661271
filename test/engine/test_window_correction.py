"""Trajectory and map follow the first keyframes when self-calibration moves them: a wide image without intrinsics."""

from __future__ import annotations

from itertools import islice

import cv2
import numpy as np

from slam3r_ros.engine.slam import Slam
from slam3r_ros.geometry.umeyama import umeyama
from slam3r_ros.io.sources import open_source
from slam3r_ros.io.sources.example import EXAMPLE
from slam3r_ros.io.tum import read_trajectory
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.networks.weights import load_networks
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame

FRAMES = 70


def test_a_map_that_began_with_a_wrong_focal_length_is_put_right() -> None:
    networks = load_networks("embedded", device="cpu", precision="float32")
    slam = Slam(networks, SlamSettings().with_values({"map.dense": False, "window.lookahead": 0}))
    true = np.array([pose.T_world_camera[:3, 3] for pose in read_trajectory(EXAMPLE / "poses.txt")[:FRAMES]])
    corrections: list[MapCorrection] = []
    with open_source(str(EXAMPLE)) as source:
        for number, frame in enumerate(islice(source, FRAMES)):
            wide = cv2.resize(frame.image[60:420], (320, 180), interpolation=cv2.INTER_AREA)  # 16:9
            corrections += [e for e in slam.push(Frame(number, wide)) if isinstance(e, MapCorrection)]
    slam.flush()
    poses = slam.trajectory()
    assert len(poses) == FRAMES
    assert corrections and all(len(each.loops) == 0 for each in corrections)
    estimated = np.array([pose.T_world_camera[:3, 3] for pose in poses])
    alignment = umeyama(estimated, true)
    assert alignment is not None
    errors = np.linalg.norm(alignment.apply(estimated) - true, axis=1)
    path = np.linalg.norm(np.diff(true, axis=0), axis=1).sum()
    assert np.sqrt(np.mean(errors**2)) / path < 0.03  # 5.7 % where the first frames stay as they were

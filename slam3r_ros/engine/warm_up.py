"""The first frames' extra work, done before there are any."""

from __future__ import annotations

import time

import numpy as np

from slam3r_ros.engine.slam import Slam
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame

TIME_LIMIT_S = 5.0
"""A larger network, whose first frames' extra work is little beside their own, is left after this time."""
GPU_TIME_LIMIT_S = 30.0
"""The same on a GPU, where large networks are worth recording too."""
TRACKED_PUSHES = 40
"""Pushes after the world is set up: until the buffering set is full and retrieval has run several times."""
MOST_TOGETHER = 4
"""More frames at once are rare, and their shapes are not waited for."""
_ACCEPT_ALL = {
    "initialize.shrink_below": 0.0,
    "initialize.minimum_confidence": 0.0,
    "initialize.minimum_texture": 0.0,
    "initialize.minimum_motion": 0.0,
    "pose.minimum_inliers": 0.0,
    "pose.minimum_confidence": 0.0,
}


def warm_up(networks: NetworkPair, settings: SlamSettings, together: int) -> None:
    """Run the networks on noise, 1 to ``together`` frames at once (at most `MOST_TOGETHER`).

    Memory is allocated, and replayed networks are recorded, before the first image; at most for about `TIME_LIMIT_S`,
    on a GPU `GPU_TIME_LIMIT_S`.
    """
    limit_s = GPU_TIME_LIMIT_S if networks.i2p.device.type == "cuda" else TIME_LIMIT_S
    end, pushed, tracked = time.monotonic() + limit_s, 0, 0
    stride = max(1, settings.resolved(networks.recommended).window.stride)
    slam = Slam(networks, settings.with_values(_ACCEPT_ALL | {"window.stride": stride}))
    random = np.random.default_rng(0)
    height, width = networks.i2p.config.image_size
    while tracked < TRACKED_PUSHES and time.monotonic() < end:
        count = 1 + tracked % min(together, MOST_TOGETHER)
        noise = random.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
        slam.push(*(Frame(pushed + number, image) for number, image in enumerate(noise)))
        pushed += count
        tracked += slam.status().registered > 0

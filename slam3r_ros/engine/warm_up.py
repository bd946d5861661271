"""The first frames' extra work, done before there are any."""

from __future__ import annotations

import time

import numpy as np

from slam3r_ros.engine.slam import Slam
from slam3r_ros.engine.tuning import TUNING
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame

_ACCEPT_ALL = {
    "initialize.shrink_below": 0.0,
    "initialize.minimum_confidence": 0.0,
    "initialize.minimum_texture": 0.0,
    "initialize.minimum_motion": 0.0,
    "pose.minimum_inliers": 0.0,
    "pose.minimum_confidence": 0.0,
}


def warm_up(networks: NetworkPair, settings: SlamSettings, together: int) -> None:
    """Run the networks on noise, 1 to ``together`` frames at once (at most `EngineTuning.warm_up_batch_size`).

    Memory is allocated, and the networks' graphs are captured, before the first image. It ends after the time limit in
    `EngineTuning` at the latest.
    """
    limit_s = TUNING.warm_up_limit_gpu_s if networks.i2p.device.type == "cuda" else TUNING.warm_up_limit_s
    end, pushed, tracked = time.monotonic() + limit_s, 0, 0
    stride = max(1, settings.resolved(networks.recommended).window.stride)
    slam = Slam(networks, settings.with_values(_ACCEPT_ALL | {"window.stride": stride}))
    random = np.random.default_rng(0)
    height, width = networks.i2p.config.image_size
    while tracked < TUNING.warm_up_pushes and time.monotonic() < end:
        count = 1 + tracked % min(together, TUNING.warm_up_batch_size)
        noise = random.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
        slam.push(*(Frame(pushed + number, image) for number, image in enumerate(noise)))
        pushed += count
        tracked += slam.status().registered > 0

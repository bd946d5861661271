"""Choosing the stride of windows from the stream itself (SLAM3R supplement A)."""

from __future__ import annotations

import numpy as np

from slam3r_ros.engine.image_to_points_stage import ImageToPointsStage
from slam3r_ros.engine.ring_buffer import RingBuffer
from slam3r_ros.engine.window import build_window

LARGEST_STRIDE = 20
WINDOW_RADIUS = 3
WINDOWS_PER_STRIDE = 10
_BATCH = 2  # windows run together: bounds the memory that choosing takes


def choose_stride(local_points: ImageToPointsStage, ring: RingBuffer, seed: int) -> int:
    """The stride, 1 to 20, whose windows over the frames in ``ring`` I2P is surest of; 1 for fewer than 7 frames."""
    random = np.random.RandomState(seed)
    confidences = {}
    first, last = ring[ring.oldest].source_index, ring[ring.newest].source_index
    for stride in range(1, min(LARGEST_STRIDE, (last - first) // (2 * WINDOW_RADIUS)) + 1):
        reach = WINDOW_RADIUS * stride
        centres = np.arange(ring.at_or_before(first + reach - 1) + 1, ring.at_or_before(last - reach) + 1)
        if not len(centres):  # so many images were left out
            continue
        chosen = random.choice(centres, min(WINDOWS_PER_STRIDE, len(centres)), replace=False)
        windows = [build_window(ring, int(centre), stride, WINDOW_RADIUS) for centre in chosen]
        batches = [windows[i : i + _BATCH] for i in range(0, len(windows), _BATCH)]
        confidences[stride] = float(np.mean([c for batch in batches for c in local_points.mean_confidences(batch)]))
    return max(confidences, key=confidences.__getitem__, default=1)

"""Choosing the stride of windows from the stream itself (SLAM3R supplement A)."""

from __future__ import annotations

import numpy as np

from slam3r_ros.engine.image_to_points_stage import ImageToPointsStage
from slam3r_ros.engine.ring_buffer import RingBuffer
from slam3r_ros.engine.tuning import TUNING
from slam3r_ros.engine.window import build_window


def choose_stride(local_points: ImageToPointsStage, ring: RingBuffer, seed: int) -> int:
    """The stride, 1 to 20, whose windows over the frames in ``ring`` I2P is surest of; 1 for fewer than 7 frames."""
    random = np.random.RandomState(seed)
    confidences = {}
    first, last = ring[ring.oldest].source_index, ring[ring.newest].source_index
    for stride in range(1, min(TUNING.max_stride, (last - first) // (2 * TUNING.stride_window_radius)) + 1):
        reach = TUNING.stride_window_radius * stride
        centres = np.arange(ring.at_or_before(first + reach - 1) + 1, ring.at_or_before(last - reach) + 1)
        if not len(centres):  # so many images were left out
            continue
        chosen = random.choice(centres, min(TUNING.windows_per_stride, len(centres)), replace=False)
        windows = [build_window(ring, int(centre), stride, TUNING.stride_window_radius) for centre in chosen]
        batches = [windows[i : i + TUNING.stride_batch_size] for i in range(0, len(windows), TUNING.stride_batch_size)]
        confidences[stride] = float(np.mean([c for batch in batches for c in local_points.mean_confidences(batch)]))
    return max(confidences, key=confidences.__getitem__, default=1)

"""The table of sizes, with tiny networks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slam3r_lab.benchmarks.machine import Ceilings
from slam3r_lab.benchmarks.operations import Workload
from slam3r_lab.benchmarks.sizes import SIZES, TRAINED, SizeCost, measure_size, size_table, trained_error
from slam3r_lab.benchmarks.stages import TimeBox
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.weights import load_networks

LOAD = Workload(radius=2, past_only=True, scene_frames=2, together=1, buffer_size=4)
TINY = NetworkConfig(
    image_size=(32, 32),
    encoder_width=16,
    encoder_depth=1,
    encoder_heads=2,
    decoder_width=16,
    decoder_depth=2,
    decoder_heads=2,
)


def test_a_size_is_measured_with_its_weights_counted() -> None:
    box = TimeBox(Ceilings(1e12, 1e12), 0.02, most_calls=3)
    small = measure_size("small", TINY, LOAD, 2, box)
    large = measure_size("large", replace(TINY, image_size=(64, 64), decoder_depth=4), LOAD, 2, box)
    assert min(small.encode_ms, small.i2p_ms, small.retrieval_ms, small.l2w_ms) > 0
    assert all(large > small > 1000 for large, small in zip(large.parameters, small.parameters, strict=True))
    row = size_table([small, large])[-1]
    assert row.startswith("| large | 64 | 16 | 16 | 16 x 1 | 16 x 4 |")


def test_the_row_of_the_embedded_weights_is_their_network() -> None:
    assert SIZES["embedded"] == load_networks("embedded", device="cpu").i2p.config


def test_a_frame_costs_the_sum_of_its_stages() -> None:
    cost = SizeCost("any", TINY, (1_000_000, 500_000), 4.0, 3.0, 1.0, 2.0)
    assert cost.frame_ms == pytest.approx(10.0)
    assert size_table([cost])[-1].endswith("| 1.0 + 0.5 | 3 | 4.0 | 3.0 | 1.0 | 2.0 | 10.0 | 100 |  |")


def test_a_trained_size_has_the_error_of_its_log() -> None:
    assert set(TRAINED) <= set(SIZES)
    cost = SizeCost("deeper", TINY, (1, 1), 1.0, 1.0, 1.0, 1.0)
    error = trained_error("deeper")
    assert error is not None and 0.13 < error[0] < 0.15 and error[1] == 66446
    assert size_table([cost])[-1].endswith("| 14.0 (66446) |")

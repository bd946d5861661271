from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import textured_image

from slam3r_lab.benchmarks.random_networks import NO_THRESHOLDS
from slam3r_ros.engine import warm_up as module
from slam3r_ros.engine.camera_pose import CameraPoseEstimator
from slam3r_ros.engine.slam import Slam
from slam3r_ros.engine.warm_up import warm_up
from slam3r_ros.networks.graph_capture import TUNING as CAPTURE_TUNING
from slam3r_ros.networks.graph_capture import CaptureMode, Tensors, captured_by
from slam3r_ros.networks.weights import Networks
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame, PoseEstimate

SETTINGS = SlamSettings().with_values(
    {
        "window.stride": 1,
        "register.scene_frames": 4,
        "keyframes.buffer_size": 6,
        "initialize.minimum_confidence": 0.0,
        "initialize.minimum_texture": 0.0,
        "initialize.minimum_motion": 0.0,
    }
)


def test_after_it_the_stream_s_shapes_are_captured(tiny_networks: Networks) -> None:
    captured: list[int] = []

    def capture(function: Callable[..., Tensors], inputs: Tensors) -> Callable[..., Tensors]:
        captured.append(len(inputs))
        return function

    networks = captured_by(tiny_networks, CaptureMode(capture, calls_before=2))
    warm_up(networks, SETTINGS, together=2)
    slam = Slam(networks, SETTINGS)
    for number in range(20):
        slam.push(Frame(number, textured_image(number)))
    assert captured
    captured.clear()
    for number in range(20, 40, 2):
        slam.push(Frame(number, textured_image(number)))
        slam.push(*(Frame(number + n, textured_image(number + n)) for n in (1, 2)))
    assert slam.status().registered == 50 and captured == []


def test_it_ends_after_its_time(tiny_networks: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed = []
    monkeypatch.setattr(module, "TUNING", replace(module.TUNING, warm_up_limit_s=-1.0))
    monkeypatch.setattr(Slam, "push", lambda *frames: pushed.append(frames))
    warm_up(tiny_networks, SETTINGS, together=2)
    assert pushed == []


def test_a_stride_that_is_to_be_chosen_is_not_waited_for(
    tiny_networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushes, push = [], Slam.push
    monkeypatch.setattr(Slam, "push", lambda *arguments: (pushes.append(len(arguments) - 1), push(*arguments))[1])
    warm_up(tiny_networks, SETTINGS.with_values({"window.stride": -1}), together=1)
    assert pushes == [1] * (4 + module.TUNING.warm_up_pushes)


def test_shapes_that_are_captured_late_have_come_often_enough(
    tiny_networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: with the published windows, for 1 to 4 frames at once, before the stream begins."""
    found = PoseEstimate(np.eye(4), 100.0, 1.0, 0.1, 1.0, 0.0)
    monkeypatch.setattr(CameraPoseEstimator, "estimate", lambda *_: found)  # which takes its time on noise
    monkeypatch.setattr(module, "TUNING", replace(module.TUNING, warm_up_limit_s=60.0))
    captured: list[tuple[torch.Size, ...]] = []

    def capture(function: Callable[..., Tensors], inputs: Tensors) -> Callable[..., Tensors]:
        captured.append(tuple(tensor.shape for tensor in inputs))
        return function

    published = replace(tiny_networks, recommended=SlamSettings.of_published_weights().with_values(NO_THRESHOLDS))
    networks = captured_by(published, CaptureMode(capture))
    warm_up(networks, SlamSettings(), together=4)
    in_warm_up = len(captured)
    captured.clear()
    slam = Slam(networks, SlamSettings().with_values({"initialize.minimum_confidence": 0.0}))
    for number in range(60):
        slam.push(Frame(number, textured_image(number)))
    for number in range(60, 120, 10):
        for first, count in ((0, 1), (1, 2), (3, 3), (6, 4)):
            slam.push(*(Frame(number + first + n, textured_image(number + first + n)) for n in range(count)))
    assert 24 <= in_warm_up <= CAPTURE_TUNING.most_graphs
    assert [len(shapes) for shapes in captured] == []

import pytest
from synthetic import textured_image

from slam3r_ros.engine import warm_up as module
from slam3r_ros.engine.settings import SlamSettings
from slam3r_ros.engine.slam import Slam
from slam3r_ros.engine.types import Frame
from slam3r_ros.engine.warm_up import TRACKED_PUSHES, warm_up
from slam3r_ros.networks.replay import Replay, replayed
from slam3r_ros.networks.weights import Networks

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


def test_after_it_the_stream_s_shapes_are_recorded(tiny_networks: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = replayed(tiny_networks)
    warm_up(networks, SETTINGS, together=2)
    slam = Slam(networks, SETTINGS)
    for number in range(20):
        slam.push(Frame(number, textured_image(number)))
    monkeypatch.setattr(Replay, "_record", lambda *_: pytest.fail("a shape was recorded in mid-stream"))
    for number in range(20, 40, 2):
        slam.push(Frame(number, textured_image(number)))
        slam.push(*(Frame(number + n, textured_image(number + n)) for n in (1, 2)))
    assert slam.status().registered == 50


def test_it_ends_after_its_time(tiny_networks: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed = []
    monkeypatch.setattr(module, "TIME_LIMIT_S", -1.0)
    monkeypatch.setattr(Slam, "push", lambda *frames: pushed.append(frames))
    warm_up(tiny_networks, SETTINGS, together=2)
    assert pushed == []


def test_a_stride_that_is_to_be_chosen_is_not_waited_for(
    tiny_networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushes, push = [], Slam.push
    monkeypatch.setattr(Slam, "push", lambda *arguments: (pushes.append(len(arguments) - 1), push(*arguments))[1])
    warm_up(tiny_networks, SETTINGS.with_values({"window.stride": -1}), together=1)
    assert pushes == [1] * (4 + TRACKED_PUSHES)

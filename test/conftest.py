"""What all tests share: golden data and networks small enough to run thousands of times."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from slam3r_ros.networks.cpu import prepare_process

prepare_process()  # before NumPy and torch are imported, as in the node

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from slam3r_ros.networks.config import NetworkConfig  # noqa: E402
from slam3r_ros.networks.image_to_points import ImageToPoints  # noqa: E402
from slam3r_ros.networks.local_to_world import LocalToWorld  # noqa: E402
from slam3r_ros.networks.weights import Networks, load_networks  # noqa: E402
from slam3r_ros.settings import SlamSettings  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser

GOLDEN = Path(__file__).parent / "data" / "golden"

torch.set_num_threads(1)  # small networks gain nothing from more, and tests share the machine

# Property tests give the same examples every time, however busy the machine is.
settings.register_profile(
    "tests", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")

TINY_SETTINGS = SlamSettings.of_published_weights().with_values(
    {
        "window.stride": 3,
        "window.radius": 2,
        "initialize.shrink_below": 0.0,
        "initialize.minimum_confidence": 0.0,
        "register.point_confidence": 0.0,
        "register.scene_frames": 4,
        "register.retrieval_interval": 6,
        "keyframes.buffer_size": 12,
        "keyframes.interval": 3,
        "pose.minimum_confidence": 0.0,
        "pose.tracks": "off",
        "map.point_confidence": 0.0,
    }
)


@pytest.fixture(autouse=True)
def _usual_signals() -> Iterator[None]:
    """What this process does at a signal is the same for every test: commands that tests call ignore some at their end.

    A child process would inherit what is ignored.
    """
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, action in usual.items():
        signal.signal(number, action)


@pytest.fixture
def default_signals() -> None:
    """SIGINT, SIGTERM and SIGHUP do what they usually do, also where the tests run in the background or under nohup,
    which ignore some of them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session")
def golden() -> Path:
    """Directory of golden numbers of the published implementation."""
    return GOLDEN


@pytest.fixture(scope="session")
def golden_networks() -> Networks:
    """The golden networks: 64 px images, 16 tokens a view, random weights."""
    return load_networks(str(GOLDEN / "networks"), device="cpu")


TINY = {
    "encoder_width": 16,
    "encoder_depth": 1,
    "encoder_heads": 2,
    "decoder_width": 16,
    "decoder_depth": 2,
    "decoder_heads": 2,
}


@pytest.fixture(scope="session")
def tiny_networks() -> Networks:
    """Random networks of 32 px images and 4 tokens a view, a few milliseconds a frame."""
    torch.manual_seed(0)
    i2p = ImageToPoints(NetworkConfig(image_size=(32, 32), **TINY))
    l2w = LocalToWorld(NetworkConfig(image_size=(32, 32), need_encoder=False, **TINY))
    for network in (i2p, l2w):
        network.eval().requires_grad_(False)
    return Networks(i2p, l2w, "tiny", TINY_SETTINGS)


@pytest.fixture(autouse=True)
def _bounded(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test in a browser ends, whatever the browser does not answer."""
    if "chromium" not in request.fixturenames:
        yield
        return
    from browser import bounded

    with bounded(request.node.name):
        yield


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A real browser, started once for all tests, since Playwright allows one; without it they are skipped."""
    from browser import launched

    with launched() as browser:
        yield browser

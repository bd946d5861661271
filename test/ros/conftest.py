"""What the tests of the ROS side share. Without ROS they fail, and say what to do: nothing is skipped silently."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from slam3r_ros.networks.weights import Networks, save_network

try:
    import rclpy  # noqa: F401
    import slam3r_ros.msg  # noqa: F401
except ImportError as error:
    raise pytest.UsageError(
        f"the tests in test/ros need ROS 2 and this package's messages ({error}): run them with 'make test', which "
        "sets both up, or source your distribution and this workspace first; to leave them out say --ignore=test/ros"
    ) from error

from outputs_harness import Scene
from rclpy.context import Context
from ros_harness import own_domain, spinning

from slam3r_ros.ros.input.dds_transport import TRANSPORT_VARIABLE, UDP_LARGE
from slam3r_ros.ros.pipeline import session

os.environ.setdefault(TRANSPORT_VARIABLE, UDP_LARGE)


@pytest.fixture(autouse=True, scope="session")
def _no_warm_up() -> Iterator[None]:
    """Nodes in this process begin without the networks' warm-up, half a second of each start; it has tests of its own,
    and the nodes that tests start as processes do it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "warm_up", lambda *_, **__: None)
        yield


@pytest.fixture
def context() -> Iterator[Context]:
    """A ROS context in a domain of its own."""
    with own_domain() as context:
        yield context


@pytest.fixture
def scene(context: Context) -> Iterator[Scene]:
    """Outputs alone and a listener."""
    scene = Scene(context)
    with spinning(context, scene.node, scene.camera.node):
        yield scene
    scene.node.destroy_node()
    scene.camera.node.destroy_node()


@pytest.fixture(scope="session")
def weights(tiny_networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of weights: tiny random networks that accept everything."""
    directory = tmp_path_factory.mktemp("weights")
    save_network(tiny_networks.i2p, directory / "i2p")
    save_network(tiny_networks.l2w, directory / "l2w")
    thresholds = ("point_confidence", "shrink_below", "initialize_confidence", "tracking_confidence", "map_confidence")
    (directory / "settings.yaml").write_text(yaml.safe_dump(dict.fromkeys(thresholds, 0.0)))
    return directory

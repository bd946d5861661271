"""The launch files and what they decide. Where `launch` imports (a ROS distribution) they are loaded as well."""

from __future__ import annotations

import ast
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from slam3r_ros.engine.settings import SettingError
from slam3r_ros.ros import transport
from slam3r_ros.ros.launch_options import PARAMETER_ARGUMENTS, beside, existing_file, node_options
from slam3r_ros.ros.settings import spec_of

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = {"image": "/camera/image_raw", "use_sim_time": "false"}


def test_arguments_become_parameters_of_their_type_and_empty_ones_are_left_to_the_file() -> None:
    given = {"weights": "embedded", "image_queue": "3", "invert_tf": "true", "device": "", "use_sim_time": "true"}
    options = node_options({**ARGUMENTS, **given})
    assert dict(options.parameters) == {
        "weights": "embedded",
        "image_queue": 3,
        "invert_tf": True,
        "use_sim_time": True,
    }


def test_camera_info_is_beside_the_image_unless_given() -> None:
    assert dict(node_options(ARGUMENTS).remappings)["camera_info"] == "/camera/camera_info"
    given = node_options({**ARGUMENTS, "camera_info": "/other/info"})
    assert dict(given.remappings) == {"image": "/camera/image_raw", "camera_info": "/other/info"}
    assert (beside("image", "camera_info"), beside("/image", "camera_info")) == ("camera_info", "/camera_info")


def test_wrong_argument_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="image_queue: expected 1 to 100, got 0"):
        node_options({**ARGUMENTS, "image_queue": "0"})
    with pytest.raises(SettingError, match="tf_mode: expected one of none, map_to_base"):
        node_options({**ARGUMENTS, "tf_mode": "map_to_odom"})
    with pytest.raises(FileNotFoundError, match="bag: there is no"):
        existing_file(str(tmp_path / "none.mcap"), "bag")


def test_every_parameter_argument_is_a_parameter() -> None:
    assert all(spec_of(name).meaning for name in PARAMETER_ARGUMENTS)


CONFIG = ROOT / "config"
UBUNTU_SOCKETS = 212_992


def test_transport_loses_nothing_where_sockets_have_room() -> None:
    chosen = transport.choose_transport({}, transport.SOCKET_BYTES, CONFIG)
    assert chosen.variables == ((transport.TRANSPORT_VARIABLE, "UDPv4?sockets_size=4MB"),)
    assert chosen.advice == ""


def test_transport_where_sockets_have_no_room() -> None:
    alone = transport.choose_transport({}, UBUNTU_SOCKETS, CONFIG)
    assert "sysctl -w net.core.rmem_max=4194304" in alone.advice
    together = transport.choose_transport({}, UBUNTU_SOCKETS, CONFIG, closed=True)
    assert together.variables == (("FASTDDS_DEFAULT_PROFILES_FILE", str(CONFIG / "fastdds_shared_memory.xml")),)


@pytest.mark.parametrize(
    "environment",
    [
        {transport.TRANSPORT_VARIABLE: "SHM"},
        {"FASTDDS_DEFAULT_PROFILES_FILE": "x.xml"},
        {"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"},
    ],
)
def test_what_the_user_chose_is_left_alone(environment: dict[str, str]) -> None:
    assert transport.choose_transport(environment, 0, CONFIG).variables == ()


def test_old_distributions_get_a_profile() -> None:
    chosen = transport.choose_transport({"ROS_DISTRO": "humble"}, transport.SOCKET_BYTES, CONFIG)
    assert chosen.variables == (("FASTRTPS_DEFAULT_PROFILES_FILE", str(CONFIG / "fastdds_udp.xml")),)


@pytest.mark.parametrize("name", [transport.UDP_PROFILE, transport.SHARED_MEMORY_PROFILE])
def test_profile_is_installed_and_can_be_read(name: str) -> None:
    path = transport.installed_profiles() / name
    assert path.read_text() == (CONFIG / name).read_text()
    root = ElementTree.parse(path).getroot()
    assert [child.tag.rpartition("}")[2] for child in root] == ["transport_descriptors", "participant"]


def test_the_system_is_asked_for_its_sockets_room() -> None:
    assert 0 < transport.socket_limit() <= 2 * transport.SOCKET_BYTES


def test_rviz_shows_what_the_node_publishes_with_its_quality_of_service() -> None:
    config = yaml.safe_load((ROOT / "config" / "slam3r.rviz").read_text())
    manager = config["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == "map"
    topics = {d["Topic"]["Value"]: d["Topic"] for d in manager["Displays"] if "Topic" in d}
    assert set(topics) == {
        f"slam3r/{name}" for name in ("map_cloud", "cloud", "path", "keyframes", "pose", "odometry", "depth")
    }
    latched = {name for name, topic in topics.items() if topic["Durability Policy"] == "Transient Local"}
    assert latched == {"slam3r/map_cloud", "slam3r/path", "slam3r/keyframes"}
    assert any(display["Class"].endswith("/TF") for display in manager["Displays"])


@pytest.mark.parametrize("name", ["slam3r", "replay"])
def test_launch_file(name: str) -> None:
    path = ROOT / "launch" / f"{name}.launch.py"
    functions = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert functions == ["start", "generate_launch_description"]
    try:
        from launch.launch_description_sources import get_launch_description_from_python_launch_file
    except ImportError:  # no distribution: `launch` is not on PyPI
        return
    description = get_launch_description_from_python_launch_file(str(path))
    declared = {argument.name for argument in description.get_launch_arguments()}
    assert declared >= (
        {"image", "camera_info", "config", "rviz", *PARAMETER_ARGUMENTS} if name == "slam3r" else {"bag"}
    )

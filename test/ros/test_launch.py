"""The launch files and what they decide. They are loaded where `launch` imports (a ROS distribution)."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
import rclpy
import yaml
from rclpy.context import Context
from ros_harness import running_node
from slam3r_ros.msg import SlamStatus
from slam3r_ros.srv import SaveMap, SetScale

from slam3r_ros.ros import node
from slam3r_ros.ros.input import dds_transport
from slam3r_ros.ros.parameters.launch_options import (
    PARAMETER_ARGUMENTS,
    beside,
    existing_file,
    existing_path,
    flag,
    node_arguments,
    node_options,
    viewer_arguments,
)
from slam3r_ros.ros.viewer.viewer_node import parser
from slam3r_ros.setting_spec import SettingError
from slam3r_ros.viewer.page_arguments import page_address

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = {"image": "/camera/image_raw", "use_sim_time": "false"}


def test_map_names_the_map_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # a path of ros2 launch's folder, not of the node's
    assert dict(node_options({**ARGUMENTS, "map": "room.slam3r"}).parameters)["map_file"] == f"{tmp_path}/room.slam3r"
    assert "map_file" not in dict(node_options(ARGUMENTS).parameters)


def test_arguments_become_parameters_of_their_type_and_empty_ones_are_left_to_the_file() -> None:
    given = {"weights": "embedded", "image_queue": "3", "invert_tf": "true", "device": "", "use_sim_time": "true"}
    options = node_options({**ARGUMENTS, **given})
    assert dict(options.parameters) == {
        "weights": "embedded",
        "image_queue": 3,
        "invert_tf": True,
        "use_sim_time": True,
    }


def test_the_live_page_is_served_where_the_arguments_say() -> None:
    usual = {name: default for name, (default, _) in node_arguments(Path("config")).items()}
    assert viewer_arguments(usual) == ["--host", "127.0.0.1", "--port", "8080"]
    given = {**usual, "viewer_host": "0.0.0.0", "viewer_port": "9000", "viewer_token": "auto"}
    words = viewer_arguments(given)
    assert words == ["--host", "0.0.0.0", "--port", "9000", "--token=auto"]
    address = page_address(parser().parse_args(words))
    assert (address.host, address.port, len(address.token) > 16, address.is_local) == ("0.0.0.0", 9000, True, False)
    assert "everybody who can reach this machine's port 9000" in address.advice


def test_camera_info_is_beside_the_image_unless_given() -> None:
    assert dict(node_options(ARGUMENTS).remappings)["camera_info"] == "/camera/camera_info"
    given = node_options({**ARGUMENTS, "camera_info": "/other/info"})
    assert dict(given.remappings) == {"image": "/camera/image_raw", "camera_info": "/other/info"}
    of_robot = node_options({**ARGUMENTS, "odom": "/wheels/odom", "depth": "/depth/image_raw"})
    assert dict(of_robot.remappings) | {"odom": "/wheels/odom"} == {
        **dict(node_options(ARGUMENTS).remappings),
        "odom": "/wheels/odom",
        "depth": "/depth/image_raw",
        "depth/camera_info": "/depth/camera_info",
    }
    assert (beside("image", "camera_info"), beside("/image", "camera_info")) == ("camera_info", "/camera_info")


def test_wrong_argument_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="image_queue: expected 1 to 100, got 0"):
        node_options({**ARGUMENTS, "image_queue": "0"})
    with pytest.raises(SettingError, match="tf_mode: expected one of none, .*, map_to_odom_to_base, got 'odom'"):
        node_options({**ARGUMENTS, "tf_mode": "odom"})
    with pytest.raises(FileNotFoundError, match="bag: there is no"):
        existing_path(str(tmp_path / "none.mcap"), "bag")
    with pytest.raises(FileNotFoundError, match="config: there is no"):
        existing_file(str(tmp_path / "none.yaml"), "config")
    assert existing_path(str(tmp_path), "bag") == tmp_path
    with pytest.raises(IsADirectoryError, match="config: expected a file"):
        existing_file(str(tmp_path), "config")


@pytest.mark.parametrize("text", ["2", "2.0", "2e0", "+2", "0.2e1"])
def test_number_is_read_however_it_is_written(text: str) -> None:
    assert dict(node_options({**ARGUMENTS, "scale": text}).parameters)["scale"] == 2.0


@pytest.mark.parametrize("text", ["two", "[1", "2 m", "true", "-1", "nan", "inf"])
def test_what_is_no_scale_is_refused_by_name(text: str) -> None:
    with pytest.raises(SettingError, match="scale: expected"):
        node_options({**ARGUMENTS, "scale": text})


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("1", True), ("False", False), ("0", False)]
)
def test_flag_is_read_as_launch_reads_conditions(text: str, value: bool) -> None:
    assert flag({"rviz": text}, "rviz") is value
    assert dict(node_options({**ARGUMENTS, "use_sim_time": text, "invert_tf": text}).parameters) == {
        "invert_tf": value,
        "use_sim_time": value,
    }


@pytest.mark.parametrize("name", ["use_sim_time", "invert_tf"])
def test_what_is_no_flag_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingError, match=f"{name}: expected true or false, got 'maybe'"):
        node_options({**ARGUMENTS, name: "maybe"})


def test_every_argument_has_a_meaning_with_unit_and_range() -> None:
    arguments = node_arguments(CONFIG)
    assert all(meaning for _, meaning in arguments.values())
    assert Path(arguments["config"][0]).is_file() and Path(arguments["rviz_config"][0]).is_file()
    assert {arguments[name][0] for name in PARAMETER_ARGUMENTS} == {""}
    assert "[m per scene unit] (0 to 1e+06; default: as in the parameter file)" in arguments["scale"][1]
    assert "(default: as in the parameter file)" in arguments["weights"][1]


CONFIG = ROOT / "config"
UBUNTU_SOCKETS = 212_992
ROOM = dds_transport.SHARED_MEMORY_BYTES


def test_transport_loses_nothing_where_sockets_have_room() -> None:
    chosen = dds_transport.choose_transport({}, dds_transport.SOCKET_BYTES, CONFIG)
    assert chosen.variables == ((dds_transport.TRANSPORT_VARIABLE, "UDPv4?sockets_size=4MB"),)
    assert chosen.advice == ""


def test_transport_where_sockets_have_no_room() -> None:
    alone = dds_transport.choose_transport({}, UBUNTU_SOCKETS, CONFIG)
    assert "sysctl -w net.core.rmem_max=4194304" in alone.advice
    together = dds_transport.choose_transport(
        {}, UBUNTU_SOCKETS, CONFIG, closed=True, shared_bytes=dds_transport.SHARED_MEMORY_BYTES
    )
    assert together.variables == (("FASTDDS_DEFAULT_PROFILES_FILE", str(CONFIG / "fastdds_shared_memory.xml")),)
    without_room = dds_transport.choose_transport({}, UBUNTU_SOCKETS, CONFIG, closed=True, shared_bytes=ROOM - 1)
    assert without_room == alone


def test_a_node_that_was_started_by_itself_sees_to_its_transport_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (dds_transport.TRANSPORT_VARIABLE, "ROS_DISTRO", "RMW_IMPLEMENTATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(dds_transport, "socket_limit", lambda: dds_transport.SOCKET_BYTES)

    def begin(**_: object) -> None:
        raise RuntimeError(f"transport {os.environ.get(dds_transport.TRANSPORT_VARIABLE)}")

    monkeypatch.setattr(rclpy, "init", begin)
    assert node.main() == 2
    assert f"transport {dds_transport.UDP_LARGE}" in capsys.readouterr().err


def test_a_transport_that_was_chosen_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dds_transport, "socket_limit", lambda: UBUNTU_SOCKETS)
    environment = {dds_transport.TRANSPORT_VARIABLE: "DEFAULT"}
    assert dds_transport.apply_transport(environment) == ""
    assert environment == {dds_transport.TRANSPORT_VARIABLE: "DEFAULT"}
    environment = {}
    assert "sysctl -w net.core.rmem_max" in dds_transport.apply_transport(environment)
    assert environment == {dds_transport.TRANSPORT_VARIABLE: dds_transport.UDP_LARGE}


@pytest.mark.parametrize(
    ("environment", "setting"),
    [
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, "ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST"),
        ({"ROS_DISTRO": "humble", "ROS_LOCALHOST_ONLY": "1"}, "ROS_LOCALHOST_ONLY=1"),
        ({"ROS_DISTRO": "jazzy", "ROS_LOCALHOST_ONLY": "1"}, "ROS_LOCALHOST_ONLY=1"),
    ],
)
def test_transport_on_this_machine_only_is_not_ours_to_choose(environment: dict[str, str], setting: str) -> None:
    chosen = dds_transport.choose_transport(environment, dds_transport.SOCKET_BYTES, CONFIG)
    assert chosen.variables == ()
    assert setting in chosen.advice and str(CONFIG / dds_transport.SHARED_MEMORY_PROFILE) in chosen.advice
    together = dds_transport.choose_transport(
        environment, dds_transport.SOCKET_BYTES, CONFIG, closed=True, shared_bytes=dds_transport.SHARED_MEMORY_BYTES
    )
    assert [value for _, value in together.variables] == [str(CONFIG / dds_transport.SHARED_MEMORY_PROFILE)]


@pytest.mark.parametrize(
    "environment",
    [
        {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"},
        {"ROS_DISTRO": "kilted", "ROS_LOCALHOST_ONLY": "1"},  # no longer known there
        {"ROS_DISTRO": "jazzy", "ROS_LOCALHOST_ONLY": "0"},
        {"ROS_DISTRO": "humble", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"},  # not known yet there
    ],
)
def test_transport_is_chosen_where_other_machines_are_to_be_found(environment: dict[str, str]) -> None:
    chosen = dds_transport.choose_transport(environment, dds_transport.SOCKET_BYTES, CONFIG)
    assert len(chosen.variables) == 1 and not chosen.advice


@pytest.mark.parametrize(
    "environment",
    [
        {dds_transport.TRANSPORT_VARIABLE: "SHM"},
        {"FASTDDS_DEFAULT_PROFILES_FILE": "x.xml"},
        {"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"},
    ],
)
def test_what_the_user_chose_is_left_alone(environment: dict[str, str]) -> None:
    assert dds_transport.choose_transport(environment, 0, CONFIG).variables == ()


def test_old_distributions_get_a_profile() -> None:
    chosen = dds_transport.choose_transport({"ROS_DISTRO": "humble"}, dds_transport.SOCKET_BYTES, CONFIG)
    assert chosen.variables == (("FASTRTPS_DEFAULT_PROFILES_FILE", str(CONFIG / "fastdds_udp.xml")),)


@pytest.mark.parametrize("name", [dds_transport.UDP_PROFILE, dds_transport.SHARED_MEMORY_PROFILE])
def test_profile_is_installed_and_can_be_read(name: str) -> None:
    path = dds_transport.installed_profiles() / name
    assert path.read_text() == (CONFIG / name).read_text()
    root = ElementTree.parse(path).getroot()
    assert [child.tag.rpartition("}")[2] for child in root] == ["transport_descriptors", "participant"]


def test_the_system_is_asked_for_its_sockets_room() -> None:
    assert 0 < dds_transport.socket_limit() <= 2 * dds_transport.SOCKET_BYTES


def test_rviz_shows_what_the_node_publishes_with_its_quality_of_service() -> None:
    config = yaml.safe_load((ROOT / "config" / "slam3r.rviz").read_text())
    manager = config["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == "map"
    topics = {d["Topic"]["Value"]: d["Topic"] for d in manager["Displays"] if "Topic" in d}
    assert set(topics) == {
        f"slam3r/{name}"
        for name in ("map_cloud", "cloud", "path", "keyframes", "markers", "grid", "pose", "odometry", "depth")
    }
    latched = {name for name, topic in topics.items() if topic["Durability Policy"] == "Transient Local"}
    assert latched == {f"slam3r/{name}" for name in ("map_cloud", "path", "keyframes", "markers", "grid")}
    assert any(display["Class"].endswith("/TF") for display in manager["Displays"])


def test_the_foxglove_layout_shows_what_the_node_has(context: Context, weights: Path) -> None:
    layout = json.loads((ROOT / "config" / "slam3r.foxglove.json").read_text())
    panels = layout["configById"]
    with running_node(context, weights, publish_grid=True) as bench:
        own = {publisher.topic_name for publisher in bench.node.publishers}
        services = {service.service_name for service in bench.node.services}
    shown = set(panels["3D!map"]["topics"]) | {
        panels["Image!depth"]["imageMode"][key] for key in ("imageTopic", "calibrationTopic")
    }
    shown |= {panels["RawMessages!status"]["topicPath"], panels["DiagnosticSummary!health"]["topicToRender"]}
    assert shown <= own
    fields = set(SlamStatus.get_fields_and_field_types())
    plotted = [path["value"] for panel in panels.values() for path in panel.get("paths", ())]
    assert len(plotted) == 4 and {path.partition(".")[0] for path in plotted} == {"/slam3r/status"}
    assert {path.partition(".")[2] for path in plotted} <= fields
    called = {
        panel["serviceName"]: json.loads(panel["requestPayload"]) for panel in panels.values() if "serviceName" in panel
    }
    assert set(called) <= services
    assert set(called["/slam3r/save_map"]) == set(SaveMap.Request.get_fields_and_field_types())
    assert set(called["/slam3r/set_scale"]) == set(SetScale.Request.get_fields_and_field_types())

    def placed(part: object) -> list[str]:
        return [part] if isinstance(part, str) else [*placed(part["first"]), *placed(part["second"])]  # type: ignore[index]

    assert sorted(placed(layout["layout"])) == sorted(panels)


@pytest.mark.parametrize("name", ["slam3r", "replay", "robot"])
def test_launch_file(name: str) -> None:
    path = ROOT / "launch" / f"{name}.launch.py"
    functions = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
    assert functions >= {"generate_launch_description"}
    module = launch_module(name)
    declared = {argument.name for argument in module.generate_launch_description().get_launch_arguments()}
    of_node = set(node_arguments(CONFIG))
    if name != "replay":
        assert declared == of_node
        assert set(getattr(module, "DEFAULTS", {})) <= of_node
    else:
        assert declared == {"bag", "rate", "bag_topic", "loop"} | of_node - set(module.GIVEN)
        assert set(module.GIVEN) <= of_node


def test_rviz_starts_before_the_node_which_would_run_on_alone_if_there_is_none() -> None:
    module = launch_module("slam3r")
    given = dict.fromkeys(module.ARGUMENTS, "") | {"rviz": "True"}
    actions = module.start(SimpleNamespace(launch_configurations=given))
    nodes = [action.node_executable for action in actions if hasattr(action, "node_executable")]
    assert nodes == ["rviz2", "slam3r_node"]


@pytest.mark.parametrize(
    ("process", "status", "ends"),
    [
        ("slam3r_ros-2", 2, True),
        ("slam3r_node-1", 1, True),
        ("slam3r_ros-2", 0, False),
        ("rviz2-1", -11, False),
    ],
)
def test_replay_ends_when_player_or_node_fails(process: str, status: int, ends: bool) -> None:
    module = launch_module("replay")
    event = SimpleNamespace(process_name=process, returncode=status)
    assert [type(action).__name__ for action in module.end_if_failed(event, None)] == ["Shutdown"] * ends


def launch_module(name: str) -> Any:
    """A launch file as a module. Skips the test where there is no distribution: `launch` is not on PyPI."""
    sources = pytest.importorskip("launch.launch_description_sources", reason="needs a ROS distribution's launch")
    return sources.load_python_launch_file_as_module(str(ROOT / "launch" / f"{name}.launch.py"))

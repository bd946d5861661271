"""Every parameter has one definition; wrong ones are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from rcl_interfaces.msg import ParameterDescriptor
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.parameter import Parameter
from ros_harness import Bench, running_node

from slam3r_ros.ros.parameters import documents as parameter_documents
from slam3r_ros.ros.parameters.declaration import names_for_every_node
from slam3r_ros.ros.parameters.node_settings import NodeSettings, node_specs
from slam3r_ros.setting_spec import RECOMMENDED, SettingError, specs_of
from slam3r_ros.settings import SlamSettings

ROOT = Path(__file__).resolve().parents[3]


def test_every_engine_setting_is_a_parameter() -> None:
    names = [spec.name for spec in node_specs()]
    assert len(names) == len(set(names))
    assert {spec.name for spec in specs_of(SlamSettings)} <= set(names)


def test_committed_yaml_is_the_generated_one() -> None:
    assert (ROOT / "config" / "slam3r.yaml").read_text() == parameter_documents.yaml_text(), (
        "config/slam3r.yaml is out of date: run python -m slam3r_ros.ros.parameters.declaration --write ."
    )


def test_committed_reference_is_the_generated_one() -> None:
    assert (ROOT / "doc" / "parameters.md").read_text() == parameter_documents.markdown_text(), (
        "doc/parameters.md is out of date: run python -m slam3r_ros.ros.parameters.declaration --write ."
    )


def test_yaml_has_every_parameter_at_its_default() -> None:
    def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, value in values.items():
            result |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        return result

    values = flat(yaml.safe_load(parameter_documents.yaml_text())["/**"]["ros__parameters"])
    assert values == {spec.name: spec.default for spec in node_specs()}
    assert {name: type(value) for name, value in values.items()} == {s.name: type(s.default) for s in node_specs()}
    assert NodeSettings.from_values(values) == NodeSettings()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"image_queue": 0}, "image_queue: expected 1 to 100, got 0"),
        ({"tf_mode": "odom"}, "expected one of none, map_to_base, map_to_odom, map_to_odom_to_base, got 'odom'"),
        ({"tf_mode": "map_to_odom_to_base", "odom_frame": ""}, "odom_frame: expected a name"),
        ({"tf_mode": "map_to_odom_to_base", "odom_frame": "map"}, "odom_frame: expected another frame than map_frame"),
        ({"tf_mode": "map_to_odom_to_base", "invert_tf": True}, "invert_tf: expected false with tf_mode: map_to_odom"),
        ({"tf_mode": "map_to_odom"}, "base_frame, odom_frame: expected names, which tf_mode: map_to_odom needs"),
        ({"scale_source": "known"}, "scale: expected metres per scene unit, which scale_source: known needs, got 0"),
        ({"scale_source": "tag"}, "tag_size: expected the tag's side in metres, which scale_source: tag needs, got 0"),
        ({"scale_source": "tf"}, "base_frame, odom_frame: expected names, which scale_source: tf needs"),
        ({"map_period": float("nan")}, "map_period: expected a number, got NaN"),
        ({"map_frame": ""}, "map_frame: expected a name"),
        ({"map_frame": "/map"}, "no leading slash, got '/map'"),
        ({"base_frame": "map"}, "base_frame: expected another frame than map_frame"),
        ({"window.radius": "3"}, "window.radius: expected int, got '3'"),
        ({"window.radius": 2, "window.lookahead": 9}, "window.lookahead: expected at most window.radius = 2, got 9"),
        ({"windw.radius": 3}, "unknown parameter 'windw.radius'; did you mean window.radius"),
    ],
)
def test_wrong_value_is_refused_by_name(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingError) as refused:
        NodeSettings.from_values(values)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"windw.radius": 3}, "unknown parameter 'windw.radius'; did you mean window.radius"),
        ({"map_period": -1.0}, "map_period: expected 0.05 to 3600, got -1.0"),
        ({"device": 1}, "device: expected str, got 1"),
        ({"window.lookahead": 9}, "window.lookahead: expected at most window.radius = 2, got 9"),
    ],
    ids=["unknown", "out of range", "of another type", "at odds with another"],
)
def test_wrong_parameter_at_start_keeps_the_node_from_running_and_is_named(
    context: Context, weights: Path, values: dict[str, Any], reason: str
) -> None:
    with running_node(context, weights, **values) as bench:
        assert bench.node._session is None
        assert reason in bench.node.problem


def test_right_parameters_of_any_spelling_are_taken(context: Context, weights: Path) -> None:
    with running_node(context, weights, map_period=2, window__radius=2, map_frame="world") as bench:
        settings = bench.node._declared.read()
        assert (settings.map_period, settings.slam.window.radius, settings.map_frame) == (2.0, 2, "world")


def refusal(bench: Bench, name: str, value: Any) -> str:
    """Why the running node refuses a new value; empty if it takes it."""
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    result = bench.camera.call(SetParameters, "/slam3r/set_parameters", request).results[0]
    return "" if result.successful else result.reason


def test_parameters_of_a_running_node(context: Context, weights: Path) -> None:
    with running_node(context, weights) as bench:
        assert "nonsense" in refusal(bench, "nonsense", 1)
        assert "image_queue" in refusal(bench, "image_queue", 0)
        assert "map_period" in refusal(bench, "map_period", "often")
        assert (
            refusal(bench, "image_queue", 4)
            == "image_queue: read when the node is configured; deactivate first, and clean up"
        )
        bench.node.trigger_deactivate()
        bench.node.trigger_cleanup()
        assert "image_queue out of range" in refusal(bench, "image_queue", 0)
        assert "window.lookahead: expected at most" in refusal(bench, "window.lookahead", 9)
        assert refusal(bench, "image_queue", 3) == ""
        bench.node.trigger_configure()
        bench.node.trigger_activate()
        assert bench.status.state_name == "WAITING_FOR_IMAGES"


def test_wrong_value_at_start_can_be_mended(context: Context, weights: Path) -> None:
    with running_node(context, weights, image_queue=0) as bench:
        assert "image_queue" in bench.node.problem
        assert refusal(bench, "image_queue", 3) == ""
        bench.node.trigger_configure()
        assert bench.node.problem == ""


def test_every_parameter_is_described(context: Context, weights: Path) -> None:
    with running_node(context, weights, autostart=False) as bench:
        for spec in node_specs():
            descriptor: ParameterDescriptor = bench.node.describe_parameter(spec.name)
            assert descriptor.description.startswith(spec.meaning)
            ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
            has_range = spec.minimum is not None or spec.maximum is not None
            assert len(ranges) == int(has_range), spec.name
            if has_range and spec.minimum is not None:
                assert ranges[0].from_value == spec.minimum
            if has_range and spec.maximum is not None:
                assert ranges[0].to_value == spec.maximum


@pytest.mark.parametrize(("given", "meant"), [(False, "off"), (True, "on"), ("auto", RECOMMENDED)])
def test_on_and_off_are_understood_although_yaml_makes_them_booleans(given: object, meant: object) -> None:
    assert NodeSettings.from_values({"pose.tracks": given}).slam.pose.tracks == meant


def test_parameters_of_other_nodes_in_a_shared_file_do_no_harm(context: Context, weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    for_all = {"base_frame_id": "base_link", "camera": {"fps": 30}, "image_queue": 7}
    own = {"ros__parameters": {"image_timeout": 3.0}}
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": for_all}, "robot": {"slam3r": own}}))
    words = ("--ros-args", "--params-file", str(file))
    assert names_for_every_node(words) == {"base_frame_id", "camera.fps", "image_queue"}
    assert names_for_every_node(("--ros-args", f"--params-file={file}")) == names_for_every_node(words)
    assert names_for_every_node(("--params-file", "nowhere.yaml")) == set()
    with running_node(context, weights, arguments=words) as bench:
        assert bench.status.state_name == "WAITING_FOR_IMAGES", bench.node.problem


def test_an_unknown_parameter_of_this_node_is_refused_in_a_file_too(
    context: Context, weights: Path, tmp_path: Path
) -> None:
    file = tmp_path / "slam3r.yaml"
    file.write_text(yaml.safe_dump({"slam3r": {"ros__parameters": {"image_qeue": 5}}}))
    with running_node(context, weights, arguments=("--ros-args", "--params-file", str(file))) as bench:
        assert "unknown parameter 'image_qeue'; did you mean image_queue" in bench.node.problem

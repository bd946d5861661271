"""Parameters of a node that runs: which of them change, when what they say holds, and all or none of several."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nav_msgs.msg import Path as PathMessage
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.context import Context
from rclpy.parameter import Parameter, parameter_value_to_python
from ros_harness import FIRST_NS, Bench, running_node, wait_until
from slam3r_ros.srv import SetScale
from std_srvs.srv import Trigger

from slam3r_ros.ros.parameters.node_settings import node_specs
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.setting_spec import ChangeTime, SettingSpec, SettingValue


def set_one_by_one(bench: Bench, **values: Any) -> list[str]:
    """Why each value is refused, as `ros2 param set` asks; empty where it is taken."""
    parameters = [Parameter(name.replace("__", "."), value=value).to_parameter_msg() for name, value in values.items()]
    answer = bench.camera.call(SetParameters, "/slam3r/set_parameters", SetParameters.Request(parameters=parameters))
    return ["" if each.successful else each.reason for each in answer.results]


def set_together(bench: Bench, **values: Any) -> str:
    """Why several values are refused together; empty where they are taken."""
    parameters = [Parameter(name.replace("__", "."), value=value).to_parameter_msg() for name, value in values.items()]
    answer = bench.camera.call(
        SetParametersAtomically,
        "/slam3r/set_parameters_atomically",
        SetParametersAtomically.Request(parameters=parameters),
    )
    return "" if answer.result.successful else answer.result.reason


def shown(bench: Bench, *names: str) -> list[Any]:
    """The values that `ros2 param get` shows."""
    answer = bench.camera.call(GetParameters, "/slam3r/get_parameters", GetParameters.Request(names=list(names)))
    return [parameter_value_to_python(each) for each in answer.values]


def in_use(bench: Bench, name: str) -> Any:
    session = bench.node._session
    assert session is not None
    settings = session.settings
    return settings.slam.value(name) if "." in name else getattr(settings, name)


def another(spec: SettingSpec, value: SettingValue) -> SettingValue:
    """A valid value other than this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return next((each for each in spec.choices if each != value), "elsewhere")
    low = spec.minimum if spec.minimum is not None else value - 1
    high = spec.maximum if spec.maximum is not None else value + 1
    found = value + (high - value) / 1000 if high > value else (low + value) / 2
    return int(value + 1 if high > value else value - 1) if isinstance(value, int) else float(found)


@pytest.fixture
def bench(context: Context, weights: Path) -> Iterator[Bench]:
    with running_node(context, weights) as bench:
        yield bench


def test_every_parameter_changes_when_its_definition_says_and_is_refused_by_name_else(bench: Bench) -> None:
    specs = list(node_specs())
    names = [spec.name for spec in specs]
    before = dict(zip(names, shown(bench, *names), strict=True))
    values: dict[str, Any] = {spec.name: another(spec, before[spec.name]) for spec in specs}
    reasons = dict(zip(values, set_one_by_one(bench, **values), strict=True))
    after = dict(zip(values, shown(bench, *values), strict=True))
    for spec in specs:
        name = spec.name
        if spec.change_time is ChangeTime.WHILE_ACTIVE:
            assert reasons[name] == "", name
            assert after[name] == values[name] != before[name], name
            wait_until(lambda name=name: in_use(bench, name) == values[name], name)  # type: ignore[misc]
        else:
            assert reasons[name].startswith(f"{name}: ") and "deactivate first" in reasons[name], name
            assert after[name] == before[name] != values[name], name
    assert bench.node.problem == "" and "parameters are set and not in use" not in bench.notice


def test_several_values_are_taken_together_or_not_at_all(bench: Bench) -> None:
    assert set_together(bench, map_period=2.0, status_period=3.0) == ""
    wait_until(lambda: in_use(bench, "map_period") == 2.0 and in_use(bench, "status_period") == 3.0, "both in use")
    fixed = set_together(bench, map_period=4.0, window__radius=4)
    assert fixed == "window.radius: read when the node is configured; deactivate first, and clean up"
    assert "map_period" in set_together(bench, path_period=4.0, map_period=-1.0)
    at_odds = set_together(bench, path_period=4.0, grid_min_height=2.0, grid_max_height=1.0)
    assert at_odds == "grid_min_height: expected less than grid_max_height, got 2 and 1"
    assert set_together(bench, path_period=4.0, use_sim_time="perhaps") != "", "rclpy's own parameter is refused"
    time.sleep(0.1)
    assert shown(bench, "map_period", "path_period", "grid_min_height") == [2.0, 0.2, 0.1]
    assert [in_use(bench, name) for name in ("map_period", "path_period", "grid_min_height")] == [2.0, 0.2, 0.1]
    assert set_together(bench, map_period=5.0, window__radius=2, weights=in_use(bench, "weights")) == "", (
        "the same value again is no change"
    )


def test_what_is_set_holds_from_the_next_message_on(bench: Bench) -> None:
    bench.wait_for_connection()
    bench.camera.send_images(6)
    bench.wait_for_handled(6)
    points = bench.status.map_points
    session = bench.node._session
    assert session is not None
    assert set_one_by_one(bench, map__voxel_size=4 * session._runner.status().voxel_size) == [""]
    wait_until(lambda: 0 < bench.status.map_points < points, "the map in larger voxels")

    paths: list[PathMessage] = bench.camera.listen(PathMessage, "/slam3r/path", LATCHED)
    wait_until(lambda: bool(paths), "a path")
    assert set_one_by_one(bench, path_length=3, path_period=0.0) == ["", ""]
    bench.camera.send_images(2, FIRST_NS + 10**9, first_number=6)
    wait_until(lambda: 0 < len(paths[-1].poses) <= 3, "a shorter path")

    count, started = len(bench.camera.statuses), time.monotonic()
    assert set_one_by_one(bench, status_period=0.05) == [""]
    wait_until(lambda: len(bench.camera.statuses) > count + 10, "a status every 0.05 s")
    assert time.monotonic() - started < 5.0, "11 messages in the period of before would take 10 s"


def test_a_scale_that_is_set_holds_on_the_next_map_too(bench: Bench) -> None:
    assert set_one_by_one(bench, scale=2.5) == [""]
    wait_until(lambda: bench.status.scale == 2.5, "the scale")
    assert set_one_by_one(bench, scale=1e-9)[0].startswith("scale: expected")
    bench.camera.call(SetScale, "/slam3r/set_scale", SetScale.Request(metres_per_unit=4.0))
    assert set_one_by_one(bench, map_period=3.0) == [""]
    wait_until(lambda: in_use(bench, "map_period") == 3.0, "the period")
    assert bench.status.scale == 4.0, "another parameter leaves what the service has set"
    bench.camera.call(Trigger, "/slam3r/reset", Trigger.Request())
    wait_until(lambda: bench.status.scale == 2.5, "the parameter's scale")


def test_layers_come_and_go(bench: Bench) -> None:
    def exists(topic: str) -> bool:
        return bench.camera.node.count_publishers(f"/slam3r/{topic}") > 0

    wait_until(lambda: exists("keyframe_view") and not exists("grid"), "the layers of the start")
    assert set_one_by_one(bench, publish_views=False, publish_grid=True, scale=1.0) == ["", "", ""]
    wait_until(lambda: exists("grid") and not exists("keyframe_view"), "the others")
    bench.camera.send_images(6)
    bench.wait_for_handled(6)
    assert set_one_by_one(bench, publish_views=True, publish_grid=False) == ["", ""]
    wait_until(lambda: exists("keyframe_view") and not exists("grid"), "those of the start again")
    assert bench.node._session is not None and bench.node._session.failure is None


def test_how_images_come_changes_while_the_node_is_inactive(bench: Bench) -> None:
    bench.wait_for_connection()
    bench.camera.send_images(6)
    bench.wait_for_handled(6)
    points = bench.status.map_points
    assert set_one_by_one(bench, image_transport="compressed") == [
        "image_transport: read when the node is activated; deactivate first"
    ]
    bench.node.trigger_deactivate()
    reasons = set_one_by_one(bench, image_transport="compressed", weights="elsewhere", map_period=7.0)
    assert reasons == ["", "weights: read when the node is configured; deactivate first, and clean up", ""]
    wait_until(lambda: in_use(bench, "map_period") == 7.0, "the period is in use")
    bench.node.trigger_activate()
    wait_until(lambda: bench.camera.compressed.get_subscription_count() > 0, "compressed images are subscribed to")
    wait_until(lambda: bench.camera.images.get_subscription_count() == 0, "and raw ones are not")
    assert bench.status.map_points == points > 0, "the map stays"

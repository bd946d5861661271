"""The layer rule: imports point to lower layers only, as BELOW has them; only `ros` knows ROS."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "slam3r_ros"

# What each layer may import of this package, besides itself. A file at the top, like `types.py`, is a layer of its own.
_VALUES = {"geometry", "networks", "types", "setting_spec", "settings"}
_WINGS = {*_VALUES, "vision", "device", "background_task", "dense_depth", "odometry", "loop_closure", "engine"}
BELOW = {
    "geometry": set[str](),
    "device": {"geometry"},
    "vision": {"geometry"},
    "setting_spec": set[str](),
    "settings": {"setting_spec"},
    "networks": {"device", "setting_spec", "settings"},
    "types": {"geometry", "networks", "vision"},
    "background_task": set[str](),
    "dense_depth": {"geometry", "vision"},
    "odometry": {*_VALUES, "vision", "device", "background_task"},
    "loop_closure": {*_VALUES, "vision", "background_task"},
    "engine": _WINGS - {"engine"},
    "metric_scale": {"geometry", "loop_closure", "engine", "types"},
    "occupancy": {"geometry"},
    "levelling": {"geometry", "loop_closure", "engine"},
    "io": _WINGS,
    "viewer": {*_WINGS, "io", "map_file", "export", "film", "render"},
    "map_file": {*_WINGS, "io"},
    "export": {"geometry", "types", "engine", "io"},
    "render": {"geometry", "types", "engine", "io"},
    "film": {"geometry", "types", "engine", "io", "render"},
    "ros": {*_WINGS, "io", "metric_scale", "levelling", "occupancy", "viewer", "map_file", "film"},
    "app": {*_WINGS, "io", "export", "film", "map_file", "render", "viewer"},
    "cli": {*_WINGS, "io", "export", "film", "render", "viewer", "map_file", "app"},
}
# The command line also starts what needs ROS, but must load without it: `ros` inside functions only.
BELOW_INSIDE_FUNCTIONS = {**BELOW, "cli": BELOW["cli"] | {"ros"}}

ROS_MODULES = {
    "ament_index_python",
    "builtin_interfaces",
    "cv_bridge",
    "diagnostic_msgs",
    "geometry_msgs",
    "launch",
    "launch_ros",
    "lifecycle_msgs",
    "nav_msgs",
    "rcl_interfaces",
    "rclpy",
    "rosgraph_msgs",
    "sensor_msgs",
    "sensor_msgs_py",
    "std_msgs",
    "std_srvs",
    "tf2_msgs",
    "tf2_ros",
    "tf_transformations",
    "visualization_msgs",
}
GENERATED = {"msg", "srv", "action"}

# The rooms of ros/ in their order: each may import itself and those before it.
ROOMS_OF_ROS = (
    "throttled_log", "quality_of_service", "start", "parameters", "threads", "input", "output", "pipeline",
    "services", "map_services", "node",
    "viewer", "tools", "__main__",
)  # fmt: skip

LAB = PACKAGE.parent / "slam3r_lab"
_MEASURING = {"worlds", "sequences", "training", "oracle", "baselines", "evaluation"}
LAB_BELOW = {
    "worlds": set[str](),
    "sequences": set[str](),
    "training": {"worlds"},
    "oracle": {"sequences"},
    "baselines": {"sequences"},
    "evaluation": {"sequences", "oracle", "baselines"},
    "benchmarks": _MEASURING | {"soak"},
    "soak": set[str](),
    "distributions": set[str](),
    "commands": _MEASURING | {"soak", "distributions"},
    "__main__": {"commands"},
}
"""What each folder of slam3r_lab may import of slam3r_lab, besides itself."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path, root: Path | None = None) -> Iterator[tuple[str, int, bool]]:
    """Yield (absolute dotted name, line, whether at the top of the module) of every import in the file `path`.

    `root` is the folder of the package it belongs to, slam3r_ros if None.
    """
    name, root = ("slam3r_ros", PACKAGE) if root is None else (root.name, root)
    tree = ast.parse(path.read_text(), str(path))
    deferred = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef)) or is_for_type_checking(outer)
        for inner in ast.walk(outer)
    }
    package = [name, *path.relative_to(root).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            names = [".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names]
        else:
            continue
        yield from ((name, node.lineno, id(node) not in deferred) for name in names)


def is_for_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def layer_of(path: Path) -> str | None:
    """Return the layer a file belongs to; None for the package's own __init__.py."""
    layer = path.relative_to(PACKAGE).with_suffix("").parts[0]
    return None if layer == "__init__" else layer


def violations(path: Path) -> list[str]:
    """Return one sentence for every import in `path` that the layer rule forbids."""
    layer = layer_of(path)
    found = []
    for name, line, at_top in imports(path):
        parts = name.split(".")
        where = f"{path.relative_to(PACKAGE.parent)}:{line} imports {name}"
        if parts[0] in ROS_MODULES or (parts[0] == "slam3r_ros" and parts[1:2] and parts[1] in GENERATED):
            if layer != "ros":
                found.append(f"{where}: only slam3r_ros/ros/ may import ROS or messages")
        elif parts[0] == "slam3r_lab":
            found.append(f"{where}: slam3r_lab is not installed on a robot")
        elif parts[0] == "slam3r_ros" and layer is not None and parts[1:2]:
            allowed = (BELOW if at_top else BELOW_INSIDE_FUNCTIONS)[layer] | {layer}
            if parts[1] not in allowed:
                found.append(f"{where}: {layer} may import {', '.join(sorted(allowed))}")
    return found


def lab_violations(path: Path, root: Path = LAB) -> list[str]:
    """Return one sentence for every import in `path` that a file of slam3r_lab may not have."""
    layer = path.relative_to(root).with_suffix("").parts[0]
    found = []
    for name, line, _ in imports(path, root):
        parts = name.split(".")
        where = f"{path.relative_to(root.parent)}:{line} imports {name}"
        is_ros = parts[0] in ROS_MODULES or (
            parts[0] == "slam3r_ros" and parts[1:2] and parts[1] in {"ros", *GENERATED}
        )
        if is_ros and layer not in ("benchmarks", "soak"):
            found.append(f"{where}: of slam3r_lab only benchmarks and soak may import ROS")
        elif parts[0] == "slam3r_lab" and parts[1:2] and parts[1] not in LAB_BELOW[layer] | {layer}:
            found.append(f"{where}: {layer} may import {', '.join(sorted(LAB_BELOW[layer]))}")
    return found


def lab_modules() -> list[Path]:
    return [path for path in sorted(LAB.rglob("*.py")) if path != LAB / "__init__.py"]


@pytest.mark.parametrize("path", lab_modules(), ids=lambda path: str(path.relative_to(LAB)))
def test_imports_of_the_lab_point_left(path: Path) -> None:
    assert lab_violations(path) == []


@pytest.mark.parametrize(
    ("file", "text", "is_allowed"),
    [
        ("worlds/a.py", "from slam3r_ros.geometry.camera import Camera", True),
        ("worlds/a.py", "def f():\n    from slam3r_lab.training import run", False),
        ("evaluation/a.py", "from slam3r_ros.ros.parameters import node_settings", False),
        ("evaluation/a.py", "from slam3r_lab.oracle import views", True),
        ("oracle/a.py", "from slam3r_lab.evaluation import run", False),
        ("benchmarks/a.py", "import rclpy\nfrom slam3r_ros.ros.tools import recorder", True),
        ("commands/a.py", "import rclpy", False),
    ],
)
def test_the_rule_of_the_lab_itself(file: str, text: str, is_allowed: bool, tmp_path: Path) -> None:
    path = tmp_path / "slam3r_lab" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert (lab_violations(path, tmp_path / "slam3r_lab") == []) is is_allowed


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_left(path: Path) -> None:
    assert violations(path) == []


def test_every_folder_is_a_known_layer() -> None:
    assert {layer_of(path) for path in modules()} - {None} <= set(BELOW)


@pytest.mark.parametrize(
    ("file", "text", "is_allowed"),
    [
        ("engine/a.py", "from slam3r_ros.networks import blocks", True),
        ("engine/a.py", "from slam3r_ros.ros import node", False),
        ("engine/a.py", "from slam3r_ros.msg import Keyframe", False),
        ("engine/a.py", "def f():\n    import rclpy.node", False),
        ("networks/a.py", "import slam3r_ros.engine.slam", False),
        ("networks/a.py", "from ..engine import slam", False),
        ("networks/a.py", "from . import blocks", True),
        ("io/sources/a.py", "from ...ros import node", False),
        ("ros/a.py", "import rclpy\nfrom sensor_msgs.msg import Image", True),
        ("ros/a.py", "from slam3r_ros.cli import cli", False),
        ("cli/a.py", "from slam3r_ros.ros import node", False),
        ("cli/a.py", "def main():\n    from slam3r_ros.ros import node", True),
        ("cli/a.py", "def main():\n    import rclpy", False),
        ("cli/a.py", "def main():\n    from slam3r_lab.worlds import build", False),
    ],
)
def test_the_rule_itself(
    file: str, text: str, is_allowed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert (violations(path) == []) is is_allowed


def room_of(name: str) -> int:
    """Return the place in `ROOMS_OF_ROS` of a dotted name that begins with slam3r_ros.ros."""
    return ROOMS_OF_ROS.index(name.split(".")[2])


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "ros").rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_rooms_of_ros_import_earlier_ones_only(path: Path) -> None:
    if path == PACKAGE / "ros" / "__init__.py":
        return
    own = room_of(".".join(["slam3r_ros", *path.relative_to(PACKAGE).with_suffix("").parts]))
    of_ros = [name for name, _, _ in imports(path) if name.startswith("slam3r_ros.ros.")]
    assert [name for name in of_ros if room_of(name) > own] == []


def public_functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield (place, function) of every function and method of the package."""
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{path.relative_to(PACKAGE.parent)}:{node.lineno} {node.name}", node


def test_every_function_is_typed() -> None:
    untyped = []
    for place, function in public_functions():
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        unannotated = [argument.arg for argument in arguments if argument.annotation is None]
        if function.returns is None or set(unannotated) - {"self", "cls"}:
            untyped.append(place)
    assert untyped == []

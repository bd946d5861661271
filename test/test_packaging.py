"""The tree as a ROS package and as a Python distribution: what colcon finds, what a wheel holds, what is pinned."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


def lines_of(path: Path) -> list[str]:
    """Return the lines of a requirements file without comments and markers."""
    stripped = (line.split("#")[0].split(";")[0].strip() for line in path.read_text().splitlines())
    return [line for line in stripped if line]


def name_of(requirement: str) -> str:
    return re.split(r"[<>=!~\[ ]", requirement)[0].lower().replace("_", "-")


def package() -> ElementTree.Element:
    return ElementTree.parse(ROOT / "package.xml").getroot()


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


# ---- the ROS package


def test_colcon_finds_exactly_this_package(tmp_path: Path) -> None:
    pytest.importorskip("colcon_core")
    command = [sys.executable, "-m", "colcon", "--log-base", str(tmp_path), "list"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert listed.stdout == "slam3r_ros\t.\t(ros.ament_cmake)\n", listed.stderr


def test_package_xml_is_valid() -> None:
    catkin_package = pytest.importorskip("catkin_pkg.package")
    warnings: list[str] = []
    catkin_package.parse_package(str(ROOT / "package.xml"), warnings=warnings)
    assert warnings == []


def test_cmake_generates_every_interface() -> None:
    interfaces = {f"{kind}/{path.name}" for kind in ("msg", "srv") for path in (ROOT / kind).glob(f"*.{kind}")}
    named = set(re.findall(r"\b(?:msg|srv)/\w+\.(?:msg|srv)\b", (ROOT / "CMakeLists.txt").read_text()))
    assert named == interfaces
    assert {"msg/Keyframe.msg", "msg/SlamStatus.msg"} <= interfaces


def test_every_imported_ros_package_is_declared() -> None:
    declared = {element.text for element in package() if element.tag in ("depend", "exec_depend")}
    imported = set()
    for path in (ROOT / "slam3r_ros" / "ros").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
            elif isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
    ours = {"slam3r_ros", "numpy", "cv2", "torch", "yaml", "tqdm", "rosbags"}
    ros_packages = {name for name in imported - ours if name not in sys.stdlib_module_names}
    assert {"tf2_ros_py" if name == "tf2_ros" else name for name in ros_packages} <= declared


@pytest.mark.parametrize("name", ["slam3r_node", "slam3r_ros"])
def test_launchers_honour_a_virtual_environment(name: str) -> None:
    path = ROOT / "scripts" / name
    assert path.read_text().startswith("#!/usr/bin/env python3\n")
    assert os.access(path, os.X_OK)


def test_the_packages_init_can_be_replaced_by_an_empty_file() -> None:
    """A build may replace it by the message generator's empty one, so nothing may be defined there."""
    tree = ast.parse((ROOT / "slam3r_ros" / "__init__.py").read_text())
    statements = [ast.unparse(node) for node in tree.body if not isinstance(node, ast.Expr)]
    assert statements == ["import pkgutil", "__path__ = pkgutil.extend_path(__path__, __name__)"]


def test_messages_are_found_from_the_source_tree() -> None:
    pytest.importorskip("rclpy")
    program = "import slam3r_ros.networks as n, slam3r_ros.msg as m; print(n.__file__, m.SlamStatus.TRACKING)"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout.split() == [str(ROOT / "slam3r_ros" / "networks" / "__init__.py"), "2"], result.stderr


# ---- the Python distribution


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel that `pip install .` would make, built offline from a copy of the sources."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    source.mkdir()
    for name in ("slam3r_ros", "config"):
        shutil.copytree(ROOT / name, source / name, ignore=IGNORED)
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "package.xml", "MANIFEST.in", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "--quiet"]
    result = subprocess.run([*command, "-w", str(directory), str(source)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (path,) = directory.glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_holds_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    files = (path for path in (ROOT / "slam3r_ros").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    expected = {str(path.relative_to(ROOT)) for path in files}
    assert expected - set(wheel.namelist()) == set()


def test_wheel_has_the_command_line_the_configuration_and_the_version(wheel: zipfile.ZipFile) -> None:
    version = package().findtext("version")
    prefix = f"slam3r_ros-{version}"
    assert "slam3r_ros = slam3r_ros.cli.main:main" in wheel.read(f"{prefix}.dist-info/entry_points.txt").decode()
    for path in (ROOT / "config").iterdir():
        assert f"{prefix}.data/data/share/slam3r_ros/config/{path.name}" in wheel.namelist()


# ---- locks, licence, tests


@pytest.mark.parametrize("name", ["requirements.lock", "ros.lock", "torch.lock"])
def test_every_locked_package_has_one_exact_version(name: str) -> None:
    lines = lines_of(ROOT / "environment" / name)
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[\w.\-]+==[\w.!+]+", line)] == []


@pytest.mark.parametrize(("source", "lock"), [("requirements.in", "requirements.lock"), ("ros.in", "ros.lock")])
def test_locks_hold_what_is_asked_for(source: str, lock: str) -> None:
    asked = {name_of(line) for line in lines_of(ROOT / "environment" / source)} - {"torch"}
    assert asked - {name_of(line) for line in lines_of(ROOT / "environment" / lock)} == set()


def test_both_locks_agree() -> None:
    common, ros = (set(lines_of(ROOT / "environment" / name)) for name in ("requirements.lock", "ros.lock"))
    shared = {name_of(line) for line in common} & {name_of(line) for line in ros}
    assert {line for line in common if name_of(line) in shared} == {line for line in ros if name_of(line) in shared}


def test_what_pip_installs_is_locked() -> None:
    options = setup_cfg()
    extras = options["options.extras_require"].values()
    asked = [*options["options"]["install_requires"].split(), *(name for extra in extras for name in extra.split())]
    locked = [*lines_of(ROOT / "environment" / "requirements.lock"), *lines_of(ROOT / "environment" / "torch.lock")]
    assert set(map(name_of, asked)) - set(map(name_of, locked)) == set()


def test_licence_is_apache_2() -> None:
    assert package().findtext("license") == setup_cfg()["metadata"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text and "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text


def test_no_test_is_left_out(request: pytest.FixtureRequest) -> None:
    patterns = request.config.getini("testpaths")
    run = {path for pattern in patterns for found in ROOT.glob(pattern) for path in (found, *found.rglob("test_*.py"))}
    assert {path for path in (ROOT / "test").rglob("test_*.py") if path not in run} == set()


def test_ci_runs_make_test_and_nothing_else() -> None:
    path = ROOT / ".ci" / "run"
    commands = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert os.access(path, os.X_OK)
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "make test"]

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
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")
PYPI_NAMES = {
    "PIL": "pillow", "av": "av", "backports": "backports-zstd", "cv2": "opencv-python-headless", "evo": "evo",
    "huggingface_hub": "huggingface_hub", "lz4": "lz4", "matplotlib": "matplotlib", "numpy": "numpy",
    "playwright": "playwright",
    "pycolmap": "pycolmap", "rosbags": "rosbags", "safetensors": "safetensors", "scipy": "scipy", "torch": "torch",
    "tqdm": "tqdm", "trimesh": "trimesh", "viser": "viser", "websockets": "websockets", "yaml": "pyyaml",
    "hypothesis": "hypothesis",
}  # fmt: skip
"""Names of modules and of the distributions that pip installs for them."""
FROM_PIP = "pip"
ROSDEP_KEYS = {
    "PIL": "python3-pil", "cv2": "python3-opencv", "numpy": "python3-numpy", "scipy": "python3-scipy",
    "tf2_ros": "tf2_ros_py", "av": FROM_PIP, "viser": FROM_PIP, "websockets": FROM_PIP, "yaml": "python3-yaml",
    **dict.fromkeys(("backports", "huggingface_hub", "lz4", "rosbags", "safetensors", "torch", "trimesh"), FROM_PIP),
}  # fmt: skip
"""Keys of rosdep where they are not the module's name; FROM_PIP where rosdep has none on every distribution."""
NOT_IMPORTED = {"ros2launch", "rosidl_default_runtime"}
"""What starts the launch files, and what the generated messages need."""
OPTIONAL = {
    "compression": "Python's own from 3.14 on, backports.zstd before",
    "xformers": "a backend of attention that is tried where it is installed",
}
"""What may be there and is never asked for."""


def lines_of(path: Path) -> list[str]:
    """Return the lines of a requirements file without comments and markers."""
    stripped = (line.split("#")[0].split(";")[0].strip() for line in path.read_text().splitlines())
    return [line for line in stripped if line]


def name_of(requirement: str) -> str:
    return re.split(r"[<>=!~\[ ;]", requirement)[0].lower().replace("_", "-")


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


def imported_by(folder: Path) -> set[str]:
    """The names of what the Python files below a folder import of others, at the top or in functions."""
    imported = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
            elif isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
    return imported - {"slam3r_ros", "slam3r_lab", "_typeshed"} - sys.stdlib_module_names


def declared_for_ros() -> set[str]:
    return {str(element.text) for element in package() if element.tag in ("depend", "exec_depend")}


def test_package_xml_declares_exactly_what_is_imported() -> None:
    imported = imported_by(ROOT / "slam3r_ros") | imported_by(ROOT / "launch") | NOT_IMPORTED
    keys = {ROSDEP_KEYS.get(name, name) for name in imported - set(OPTIONAL)}
    assert keys - {FROM_PIP} == declared_for_ros()


def test_setup_cfg_declares_exactly_what_is_imported() -> None:
    imported = {name for name in imported_by(ROOT / "slam3r_ros") if name in PYPI_NAMES}
    options = setup_cfg()
    extras = {name for extra in options["options.extras_require"].values() for name in extra.split()}
    assert {PYPI_NAMES[name] for name in imported} - set(OPTIONAL) == {
        *(name.partition(";")[0] for name in options["options"]["install_requires"].split()),
        *extras,
    }


def test_what_is_imported_is_known_to_these_tests() -> None:
    """Else a new dependency would count as a ROS package, and be missing in setup.cfg."""
    from test_layers import ROS_MODULES

    for folder in ("slam3r_ros", "slam3r_lab"):
        assert imported_by(ROOT / folder) - ROS_MODULES - set(PYPI_NAMES) - set(OPTIONAL) == set()


def test_a_robot_gets_neither_the_lab_nor_what_only_the_lab_needs() -> None:
    assert imported_by(ROOT / "slam3r_ros") & {"matplotlib", "tqdm", "evo", "pycolmap"} == set()
    assert not any("slam3r_lab" in (ROOT / name).read_text() for name in ("setup.py", "setup.cfg", "CMakeLists.txt"))


@pytest.mark.parametrize("name", ["slam3r_node", "slam3r_ros", "slam3r_viewer"])
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


# ---- the laboratory, a distribution of its own


def lab() -> dict[str, Any]:
    return tomllib.loads((ROOT / "slam3r_lab" / "pyproject.toml").read_text())


def test_the_labs_declaration_names_every_package_and_its_command() -> None:
    folder = ROOT / "slam3r_lab"
    modules = {".".join(path.parent.relative_to(ROOT).parts) for path in folder.rglob("*.py")}
    tool = lab()["tool"]["setuptools"]
    assert modules == set(tool["packages"])
    assert tool["package-dir"] == {"slam3r_lab": "."}
    assert lab()["project"]["scripts"] == {"slam3r_lab": "slam3r_lab.commands.main:main"}
    assert lab()["project"]["version"] == package().findtext("version")


def test_the_lab_declares_exactly_what_it_imports() -> None:
    project = lab()["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    imported = {PYPI_NAMES[name] for name in imported_by(ROOT / "slam3r_lab") if name in PYPI_NAMES}
    assert {"slam3r_ros", *imported} == {*project["dependencies"], *extras}


def test_what_the_lab_needs_is_locked() -> None:
    project = lab()["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    asked = set(map(name_of, [*project["dependencies"], *extras])) - {"slam3r-ros"}
    locked = [*lines_of(ROOT / "environment" / "requirements.lock"), *lines_of(ROOT / "environment" / "torch.lock")]
    assert asked - set(map(name_of, locked)) == set()


def test_the_lab_is_installed_as_links_to_its_sources(tmp_path: Path) -> None:
    """As `make setup` does it: the command line starts, and the sources hold nothing new afterwards."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--no-index", "--prefix", str(tmp_path), "--ignore-installed"]
    command += ["--editable", str(ROOT / "slam3r_lab")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "bin" / "slam3r_lab").is_file()
    (site,) = tmp_path.rglob("site-packages")
    finder = "import site, sys; site.addsitedir(sys.argv[1]); import slam3r_lab.worlds.build as m; print(m.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", finder, str(site)], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert found.stdout.strip() == str(ROOT / "slam3r_lab" / "worlds" / "build.py"), found.stderr
    assert not (ROOT / "slam3r_lab" / "build").exists()


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


def test_make_help_lists_every_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None and set(phony[1].split()) == targets
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in shown.splitlines() if line.startswith("  make ")} == targets


def test_ci_runs_make_test_and_nothing_else() -> None:
    path = ROOT / ".ci" / "run"
    commands = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert os.access(path, os.X_OK)
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "make test"]


NEWER_THAN_OLDEST_PYTHON = {"Never", "LiteralString", "NotRequired", "Required", "Self", "TypeVarTuple", "Unpack"}
NEWER_THAN_OLDEST_PYTHON |= {"assert_never", "assert_type", "dataclass_transform", "override", "reveal_type"}
"""Names of the module `typing` that Python 3.10 lacks."""


@pytest.mark.parametrize("package", ["slam3r_ros", "slam3r_lab"])
def test_the_oldest_python_has_what_is_imported_from_typing(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name.name}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10)))
        if isinstance(node, ast.ImportFrom) and node.module == "typing"
        for name in node.names
        if name.name in NEWER_THAN_OLDEST_PYTHON
    ]
    assert not found

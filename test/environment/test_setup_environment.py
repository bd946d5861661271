"""`make setup`: which ROS 2 and Python it chooses, what it cleans away, when it builds again."""

from __future__ import annotations

import importlib
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

ENVIRONMENT = Path(__file__).resolve().parents[2] / "environment"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a script of environment/, which is no package."""
    monkeypatch.syspath_prepend(str(ENVIRONMENT))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return importlib.import_module(name)


def make_distribution(prefix: Path) -> Path:
    marker = prefix / "share/ament_index/resource_index/packages/rclpy"
    marker.parent.mkdir(parents=True)
    marker.touch()
    return prefix


def test_sourced_distribution_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load("setup_environment", monkeypatch)
    prefix = make_distribution(tmp_path / "opt")
    sourced = {"ROS_DISTRO": "jazzy", "AMENT_PREFIX_PATH": f"/overlay/without/rclpy:{prefix}"}
    assert script.find_distribution(sourced) == f"jazzy ({prefix})"
    assert script.find_distribution({**sourced, "AMENT_PREFIX_PATH": "/nowhere"}) == ""
    assert script.find_distribution({"AMENT_PREFIX_PATH": str(prefix)}) == ""
    assert script.find_distribution({}) == ""


def test_an_active_checkout_is_not_mistaken_for_a_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = load("steps", monkeypatch)
    venv = make_distribution(tmp_path / "other" / ".venv")
    (venv / "pyvenv.cfg").touch()
    distribution = make_distribution(tmp_path / "opt")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/other/install/slam3r_ros:{venv}:{distribution}")
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{venv}/lib:/usr/local/lib")
    monkeypatch.setenv("PYTHONPATH", f"{venv}/lib/python3.11/site-packages")
    monkeypatch.setenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "1")
    cleaned = steps.clean_environment()
    assert cleaned["AMENT_PREFIX_PATH"] == str(distribution)
    assert cleaned["LD_LIBRARY_PATH"] == "/usr/local/lib"
    assert "PYTHONPATH" not in cleaned
    assert "_ROS_WHEELS_BOOTSTRAP_COMPLETE" not in cleaned


@pytest.mark.parametrize(
    ("version", "distribution", "is_supported"),
    [
        ((3, 9), "", False),
        ((3, 10), "", True),
        ((3, 13), "", True),
        ((3, 14), "", False),
        ((3, 14), "rolling (/opt/ros/rolling)", True),
        ((3, 9), "foxy (/opt/ros/foxy)", False),
    ],
)
def test_python_versions(
    version: tuple[int, int], distribution: str, is_supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = load("setup_environment", monkeypatch)
    choice = script.Choice(python="", distribution=distribution, sees_system=False, requirements="")
    monkeypatch.setattr(script.sys, "version_info", (*version, 0, "final", 0))
    if is_supported:
        script.check_python(choice)
    else:
        with pytest.raises(script.SetupError, match=r"use 3\.10 to 3\.13.*PYTHON="):
            script.check_python(choice)


def test_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    script = load("setup_environment", monkeypatch)
    monkeypatch.setattr(script.shutil, "which", lambda name: None)
    with pytest.raises(script.SetupError, match="build-essential"):
        script.check_compiler()


def test_missing_python_header_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load("setup_environment", monkeypatch)
    monkeypatch.setattr(script.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    with pytest.raises(script.SetupError, match="python3-dev"):
        script.check_compiler()


def test_paths_of_the_machine_that_built_the_wheels_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = load("ros_wheels", monkeypatch)
    monkeypatch.setattr(wheels, "VENV", tmp_path)
    path = tmp_path / "share" / "some_msgs" / "cmake" / "export.cmake"
    path.parent.mkdir(parents=True)
    path.write_text("a;/opt/python/cp312-cp312/include/python3.12;/opt/python/cp312-cp312/lib/python3.12/x;b")
    wheels.correct_cmake_paths()
    assert path.read_text() == f"a;{sysconfig.get_paths()['include']};{tmp_path}/lib/python3.12/x;b"


def test_a_build_runs_when_files_come_go_or_an_interface_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = load("build_package", monkeypatch)
    for name in ("slam3r_ros/engine/slam.py", "msg/Keyframe.msg", "package.xml", "install/.keep"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    builds: list[list[str]] = []
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "INSTALL", tmp_path / "install")
    monkeypatch.setattr(build, "STAMP", tmp_path / "install" / "stamp.txt")
    monkeypatch.setattr(build, "run", lambda command, *_, **__: builds.append(command))

    def builds_after(change: str, made_from: bytes = b"") -> bool:
        builds.clear()
        if change:
            path = tmp_path / change
            path.write_text(path.read_text() + "more" if path.exists() else "new")
        build.build_package({}, made_from)
        return bool(builds)

    assert builds_after("")
    assert not builds_after("")
    assert not builds_after("slam3r_ros/engine/slam.py"), "installed as a link: needs no build"
    assert builds_after("slam3r_ros/engine/window.py")
    assert builds_after("msg/Keyframe.msg")
    assert builds_after("package.xml")
    assert builds_after("", made_from=b"another environment")
    link = tmp_path / "install" / "gone.py"
    link.symlink_to(tmp_path / "slam3r_ros" / "gone.py")
    (tmp_path / "slam3r_ros" / "engine" / "window.py").unlink()
    assert builds_after("", made_from=b"another environment")
    assert not link.is_symlink()


def test_an_unfinished_or_foreign_stamp_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load("setup_environment", monkeypatch)
    stamp = tmp_path / "stamp.json"
    monkeypatch.setattr(script, "STAMP", stamp)
    monkeypatch.setattr(script, "VENV_PYTHON", Path(sys.executable))
    assert script.read_stamp() is None
    for text in ("", "{}", '{"python": "3.11", "unknown": 1}', "[1]"):
        stamp.write_text(text)
        assert script.read_stamp() is None


def stand_in_python(folder: Path, *, pip_status: int) -> Path:
    """A program that ends as `python -m pip` does with a pip, or without one."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\n[ "$1 $2" = "-m pip" ] && exit {pip_status}\nexit 2\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("version", "sees_system", "distribution", "has_pip", "is_kept"),
    [
        ("3.12.1", "false", "", True, True),
        ("3.12.1", "false", "", False, False),
        ("3.11.7", "false", "", True, False),
        ("3.12.1", "true", "", True, False),
        ("3.12.1", "false", "jazzy (/opt/ros/jazzy)", True, False),
    ],
)
def test_virtual_environment_is_made_anew_when_its_base_changes_or_it_is_not_whole(
    version: str,
    sees_system: str,
    distribution: str,
    has_pip: bool,
    is_kept: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = load("setup_environment", monkeypatch)
    choice = script.Choice(python="3.12 in /usr", distribution="", sees_system=False, requirements="")
    former = script.Choice(python="", distribution=distribution, sees_system=False, requirements="")
    commands: list[list[str]] = []
    monkeypatch.setattr(script, "VENV", tmp_path / "venv")
    monkeypatch.setattr(script, "VENV_PYTHON", stand_in_python(tmp_path, pip_status=0 if has_pip else 1))
    monkeypatch.setattr(script, "read_stamp", lambda: former)
    monkeypatch.setattr(script, "run", lambda command, *_: commands.append(command))
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = {sees_system}\nversion = {version}\n"
    )
    script.make_virtual_environment(choice, {})
    assert (tmp_path / "venv").exists() is is_kept
    assert [command[1:3] for command in commands] == ([] if is_kept else [["-m", "venv"]])


def test_the_lab_is_installed_as_links_without_asking_any_index(monkeypatch: pytest.MonkeyPatch) -> None:
    script = load("setup_environment", monkeypatch)
    commands: list[list[str]] = []
    monkeypatch.setattr(script, "run", lambda command, *_, **__: commands.append(command))
    script.install_lab({})
    (command,) = commands
    assert {"--no-deps", "--no-build-isolation", "--no-index"} <= set(command)
    assert command[-2:] == ["--editable", str(ENVIRONMENT.parent / "slam3r_lab")]


def test_the_environment_is_brought_up_to_date_when_the_labs_declaration_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = load("setup_environment", monkeypatch)
    monkeypatch.setattr(script, "LAB", tmp_path)
    monkeypatch.setattr(script, "has_torch", lambda *_: False)

    def chosen(declaration: str) -> str:
        (tmp_path / "pyproject.toml").write_text(declaration)
        return str(script.choose({}).requirements)

    assert chosen("one package") == chosen("one package") != chosen("two packages")


def test_every_package_of_the_underlay_is_built_and_has_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = load("ros_wheels", monkeypatch)
    folders = {path.parent.name: path for path in (ENVIRONMENT / "underlay").glob("*/package.xml")}
    assert set(wheels.UNDERLAY) == set(folders)
    for name, path in folders.items():
        assert ElementTree.parse(path).findtext("name") == name
        assert f"project({name})" in (path.parent / "CMakeLists.txt").read_text()

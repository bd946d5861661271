"""What the steps of setup_environment.py share: places, printing, running commands, hashing. Standard library only."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / "environment"
LAB = ROOT / "slam3r_lab"
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"


class SetupError(Exception):
    """Something the user has to do first; the message says what."""


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"[setup] {text}", flush=True)


def run(command: list[str], environment: Mapping[str, str], what: str, quiet: bool = False) -> None:
    """Run `command` in the repository's root; raise SetupError naming `what` if it fails. `quiet`: output only then."""
    with tempfile.TemporaryFile("w+") as output:
        target = output if quiet else None
        code = subprocess.run(
            command, cwd=ROOT, env=dict(environment), stdout=target, stderr=target, check=False
        ).returncode
        if code == 0:
            return
        output.seek(0)
        print(output.read(), end="", flush=True)
    raise SetupError(f"{what} failed (exit code {code}): {' '.join(command)}")


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what the activation of another checkout left in it.

    The wheels' bootstrapper points LD_LIBRARY_PATH at one virtual environment and then never again: that would mix two.
    """
    left_overs = (
        "VIRTUAL_ENV",
        "PYTHONHOME",
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
        "COLCON_PREFIX_PATH",
        "__PYVENV_LAUNCHER__",
    )
    environment = {name: value for name, value in os.environ.items() if name not in left_overs}
    for name in ("PYTHONPATH", "LD_LIBRARY_PATH", "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH"):
        entries = [entry for entry in environment.get(name, "").split(os.pathsep) if entry and not _is_checkout(entry)]
        environment.pop(name, None)
        if entries:
            environment[name] = os.pathsep.join(entries)
    return environment


def _is_checkout(entry: str) -> bool:
    """Tell whether a path lies in a virtual environment or in an install space of this package."""
    path = Path(entry)
    return "slam3r_ros" in path.parts or any((parent / "pyvenv.cfg").exists() for parent in (path, *path.parents))


def digest(parts: Iterable[bytes]) -> str:
    """Return the SHA-256 of `parts`, in hexadecimal."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()

"""Build the package and its messages with colcon into build/ and install/, when something that needs it has changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from steps import ROOT, VENV_PYTHON, digest, run, say

INSTALL = ROOT / "install"
STAMP = INSTALL / "slam3r_ros_build.txt"
COMPILED = ("CMakeLists.txt", "package.xml", "msg/*", "srv/*", "scripts/*")  # a change of content needs a build
LINKED = ("slam3r_ros", "launch", "config")  # installed as links: only a file that comes or goes needs a build


def build_package(environment: Mapping[str, str], made_from: bytes) -> None:
    """Run `colcon build` unless neither the sources nor the environment (`made_from`) changed since the last one."""
    state = digest([made_from, str(ROOT).encode(), *_compiled(), *_linked()])
    if STAMP.exists() and STAMP.read_text() == state:
        return
    say("building the package and its messages with colcon (half a minute the first time)")
    command = [str(VENV_PYTHON), "-m", "colcon", "build", "--symlink-install", "--event-handlers", "console_direct-"]
    command += [
        "--packages-select",
        "slam3r_ros",
        "--cmake-args",
        "-DBUILD_TESTING=OFF",
        f"-DPython3_EXECUTABLE={VENV_PYTHON}",
    ]
    run(command, environment, "building the package", quiet=True)
    _remove_dangling_links()
    STAMP.write_text(state)


def _compiled() -> list[bytes]:
    return [path.read_bytes() for pattern in COMPILED for path in sorted(ROOT.glob(pattern)) if path.is_file()]


def _linked() -> list[bytes]:
    files = (path.relative_to(ROOT) for name in LINKED for path in (ROOT / name).rglob("*") if path.is_file())
    return sorted(str(path).encode() for path in files if "__pycache__" not in path.parts)


def _remove_dangling_links() -> None:
    """Remove the links to files that are gone: Python would find a module there and fail to read it."""
    links: list[Path] = [path for path in INSTALL.rglob("*") if path.is_symlink() and not path.exists()]
    for link in links:
        link.unlink()

"""Build `ros2 launch` and its relatives from sources, on top of the wheels: for machines without a distribution.

PyPI has no launch, launch_ros or ros2cli. Where their sources are at hand (the repositories ros2/launch,
ros2/launch_ros, ros2/ros2cli and ros2/rcl_interfaces), this makes them with colcon:

    source environment/activate.sh
    python environment/build_launch.py SOURCES build/launch
    source build/launch/local_setup.bash

Then `ros2 launch`, `ros2 topic`, `ros2 service`, `ros2 param` and `ros2 lifecycle` run, as far as their sources are
there, and test/ros/test_launch.py with the real `launch`. They also need osrf-pycommon, argcomplete, packaging and
psutil from PyPI, which are installed beside them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

PACKAGES = (
    "composition_interfaces", "launch", "launch_ros", "launch_xml", "launch_yaml", "ros2cli", "ros2interface",
    "ros2launch", "ros2lifecycle", "ros2node", "ros2param", "ros2pkg", "ros2run", "ros2service", "ros2topic",
)  # fmt: skip
"""What is built, of what the sources have."""
FROM_PYPI = ("osrf-pycommon", "argcomplete", "packaging", "psutil", "importlib-metadata", "importlib-resources")
"""What they import besides; it goes into the prefix, not into the virtual environment."""


def packages_in(sources: Path) -> dict[str, Path]:
    """Return name and folder of those of `PACKAGES` that the sources have."""
    folders = sorted(path.parent for path in sources.rglob("package.xml"))
    return {folder.name: folder for folder in folders if folder.name in PACKAGES}


def main() -> int:
    """Build; 0 if everything that the sources have was built, 2 if they have nothing of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sources", type=Path, help="folder with the sources, at any depth")
    parser.add_argument("prefix", type=Path, help="folder for what is built, as build/launch")
    given = parser.parse_args()
    found = packages_in(given.sources)
    if "launch" not in found or "launch_ros" not in found:
        print(f"build_launch: no launch and launch_ros in '{given.sources}'", file=sys.stderr)
        return 2
    prefix = given.prefix.absolute()
    command = [sys.executable, "-m", "colcon", "--log-base", str(prefix / "log"), "build", "--paths"]
    command += [*map(str, found.values()), "--build-base", str(prefix / "build"), "--install-base", str(prefix)]
    command += ["--merge-install"]
    command += ["--cmake-args", "-DBUILD_TESTING=OFF", f"-DPython3_EXECUTABLE={sys.executable}"]
    built = subprocess.run(command, env={**os.environ, "PYTHONWARNINGS": "ignore"}, check=False).returncode
    site = next(prefix.glob("lib/python3*/site-packages"), prefix)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), *FROM_PYPI]
    beside = subprocess.run(pip, check=False).returncode
    print(f"built {', '.join(found)}: source {prefix}/local_setup.bash" if not built else "build_launch: colcon failed")
    return built or beside


if __name__ == "__main__":
    sys.exit(main())

"""The build of `ros2 launch` from sources: which packages it takes, and what it says without them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "environment" / "build_launch.py"


def test_sources_without_launch_are_refused(tmp_path: Path) -> None:
    for name in ("launch/launch", "rcl_interfaces/composition_interfaces", "other/thing"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "package.xml").touch()
    command = [sys.executable, str(SCRIPT), str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"no launch and launch_ros in '{tmp_path}'" in done.stderr
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        from build_launch import packages_in
    finally:
        sys.path.remove(str(SCRIPT.parent))
    assert list(packages_in(tmp_path)) == ["launch", "composition_interfaces"]

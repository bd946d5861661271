"""The launchers that are installed: a spawned worker imports its parent's script again, which must start nothing."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.mark.parametrize("name", ["slam3r_ros", "slam3r_node"])
def test_importing_a_launcher_starts_nothing(name: str) -> None:
    runpy.run_path(str(SCRIPTS / name), run_name="__mp_main__")

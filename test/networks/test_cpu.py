import subprocess
import sys

_SCRIPT = """
import os, sys
from slam3r_ros.networks.cpu import prepare_process
assert "torch" not in sys.modules, "importing this must not import torch"
prepare_process()
print(os.environ["OMP_WAIT_POLICY"])
"""


def test_threads_sleep_while_they_wait() -> None:
    assert _wait_policy({}) == "PASSIVE"


def test_what_the_user_has_set_stays() -> None:
    assert _wait_policy({"OMP_WAIT_POLICY": "ACTIVE", "MALLOC_ARENA_MAX": "2"}) == "ACTIVE"


def _wait_policy(environment: dict[str, str]) -> str:
    path = ":".join(sys.path)
    result = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        env={"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()

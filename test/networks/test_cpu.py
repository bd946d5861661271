import subprocess
import sys

_SCRIPT = """
import os, sys
from slam3r_ros.networks.cpu import prepare_process
assert "torch" not in sys.modules, "importing this must not import torch"
prepare_process()
print(os.environ["OMP_WAIT_POLICY"], os.environ["OPENBLAS_NUM_THREADS"])
"""


def test_threads_sleep_while_they_wait_and_numpy_has_one() -> None:
    assert _settings({}) == ["PASSIVE", "1"]


def test_what_the_user_has_set_stays() -> None:
    set_before = {"OMP_WAIT_POLICY": "ACTIVE", "OPENBLAS_NUM_THREADS": "3", "MALLOC_ARENA_MAX": "2"}
    assert _settings(set_before) == ["ACTIVE", "3"]


def _settings(environment: dict[str, str]) -> list[str]:
    path = ":".join(sys.path)
    result = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        env={"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.split()

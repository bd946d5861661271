#!/usr/bin/env python3
"""Resolve requirements.in and ros.in into full lists of pinned versions, one list for Python 3.10 to 3.13 on Linux.

Versions that are locked stay as they are; with --upgrade all are resolved anew. Needs `uv` (pip install uv). Run by
`make lock`; commit what changes.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOWEST_PYTHON = "3.10"
OTHER_PLATFORMS = ("sys_platform == 'win32'", "sys_platform == 'emscripten'")
# torch and what only its CUDA build needs; a CPU build works without.
TORCH_AND_CUDA = re.compile(r"^(torch|triton|nvidia-.*|cuda-.*)==")


def resolve(source: str, constraints: Sequence[Path]) -> list[str]:
    """Return the pinned requirements, one a line, that `source` (a file name in this directory) resolves to.

    What the files `constraints` pin, where it is required, has the version that they say.
    """
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("make lock needs the resolver `uv`, which is not on PATH: pip install uv")
    command = [
        uv,
        "pip",
        "compile",
        "--quiet",
        "--no-config",
        "--universal",
        "--no-header",
        "--no-annotate",
    ]
    command += ["--python-version", LOWEST_PYTHON, str(HERE / source)]
    for file in constraints:
        command += ["--constraint", str(file)]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [line for line in lines if not any(platform in line for platform in OTHER_PLATFORMS)]


def write(name: str, source: str, lines: list[str]) -> Path:
    """Write the pinned `lines` to the lock file `name`, saying which file they came from."""
    path = HERE / name
    path.write_text(
        f"# Written by environment/lock.py from {source}: edit that and run `make lock`.\n" + "\n".join(lines) + "\n"
    )
    print(f"{path}: {len(lines)} requirements")
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions of everything")
    upgrade = parser.parse_args().upgrade
    locked = [HERE / name for name in ("requirements.lock", "torch.lock", "ros.lock")]
    lines = resolve("requirements.in", [] if upgrade else locked)
    torch = [line.split(" ;")[0] for line in lines if line.startswith("torch==")]
    requirements = write(
        "requirements.lock", "requirements.in", [line for line in lines if not TORCH_AND_CUDA.match(line)]
    )
    write("torch.lock", "requirements.in", torch)
    write("ros.lock", "ros.in", resolve("ros.in", [requirements] if upgrade else [requirements, HERE / "ros.lock"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

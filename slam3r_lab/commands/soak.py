"""``slam3r_lab soak``: long runs of the node, and faults on purpose."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab soak``."""
    names = "messages, camera, killed, qos, disk, starts, loop"
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"which of {names} (default: all)")
    parser.add_argument("--starts", type=int, default=50, help="starts and stops (default: %(default)s)")
    parser.add_argument("--messages", type=int, default=10_000, help="messages of the fuzzer (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=600.0, help="length of the loop (default: %(default)s)")


def main(arguments: argparse.Namespace) -> int:
    """Run scenarios one after the other and print what each found; 1 if one failed, 2 for an unknown name."""
    from slam3r_lab.soak.fuzzing import save_tiny_weights
    from slam3r_lab.soak.scenarios import SCENARIOS, Soak
    from slam3r_ros.cli.process_guard import guarding

    unknown = [name for name in arguments.scenarios if name not in SCENARIOS]
    if unknown:
        print(f"slam3r_lab soak: unknown: {', '.join(unknown)}; known: {', '.join(SCENARIOS)}", file=sys.stderr)
        return 2
    failed = 0
    with guarding() as guard, TemporaryDirectory() as made:
        folder = Path(made)
        soak = Soak(
            guard, folder, save_tiny_weights(folder / "tiny"), 101 + os.getpid() % 100,
            arguments.starts, arguments.messages, arguments.seconds,
        )  # fmt: skip
        for name in arguments.scenarios or SCENARIOS:
            began_s = time.monotonic()
            try:
                outcome, text = "ok", SCENARIOS[name](soak)
            except AssertionError as error:
                outcome, text, failed = "FAILED", str(error), failed + 1
            print(f"{name:<9} {outcome:<6} {time.monotonic() - began_s:4.0f} s  {text}", flush=True)
    return 1 if failed else 0

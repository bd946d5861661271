"""``slam3r_lab parity DIRECTORY``: compares networks and engine with golden numbers of the published implementation."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from slam3r_lab.evaluation.parity import ParityError, compare


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab parity``."""
    parser.add_argument("directory", type=Path, help="directory of golden numbers")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 ... (default: %(default)s)")


def main(arguments: argparse.Namespace) -> int:
    """Print the table; 0 if every row passed, 1 if one did not, 2 if the directory cannot be compared."""
    failed = 0
    print(f"{'comparison':<62} {'value':>10} {'allowed':>9}")
    try:
        for row in compare(arguments.directory, arguments.device):
            failed += not row.passed
            print(
                f"{row.name:<62} {row.value:>10.3g} {row.tolerance:>9.0e}  {'ok' if row.passed else 'FAILED'}",
                flush=True,
            )
    except (ParityError, OSError, RuntimeError, KeyError) as error:
        print(f"parity: {error}", file=sys.stderr)
        return 2
    print(f"{failed} of the comparisons failed" if failed else "every comparison is inside its tolerance")
    return 1 if failed else 0

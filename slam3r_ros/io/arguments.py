"""Values that several commands take on their command lines."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def positive(text: str) -> float:
    """A number above zero; raises argparse.ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got '{text}'")
    return value


def at_least(least: int) -> Callable[[str], int]:
    """Reads a whole number that is not below ``least``; what it returns raises argparse.ArgumentTypeError."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got '{text}'")
        return value

    return read

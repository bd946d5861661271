"""Values that several commands take on their command lines."""

from __future__ import annotations

import argparse


def positive(text: str) -> float:
    """A number above zero; raises argparse.ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got '{text}'")
    return value

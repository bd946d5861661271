"""Values that several commands take on their command lines."""

from __future__ import annotations

import argparse
import re


def positive(text: str) -> float:
    """A number above zero; raises argparse.ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got '{text}'")
    return value


def not_negative(text: str) -> float:
    """A number that is zero or more; raises argparse.ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number that is not below 0, got '{text}'")
    return value


def positive_integer(text: str) -> int:
    """A whole number above zero; raises argparse.ArgumentTypeError."""
    value = int(text) if text.isascii() and text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got '{text}'")
    return value


def parameter_assignment(text: str) -> str:
    """NAME:=VALUE of a node; raises argparse.ArgumentTypeError: what rcl says of other texts is hard to understand."""
    if not re.fullmatch(r"[A-Za-z_][\w.]*:=.+", text, re.DOTALL):
        raise argparse.ArgumentTypeError(f"expected NAME:=VALUE, got '{text}'")
    return text

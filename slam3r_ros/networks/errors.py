"""The error of weights that cannot be used, and the short form of others' errors for its message."""

from __future__ import annotations


class WeightsError(RuntimeError):
    """Weights that are missing or wrong; the message is one sentence that says what is wrong and what to do."""


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the name of its class where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

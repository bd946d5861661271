"""The error of weights that cannot be used."""

from __future__ import annotations


class WeightsError(RuntimeError):
    """Weights that are missing or wrong; the message is one sentence that says what is wrong and what to do."""

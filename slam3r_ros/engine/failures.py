"""What the engine may raise while it runs, in words, so that what is mapped is saved all the same."""

from __future__ import annotations

from collections.abc import Callable

import cv2

_ENGINE_FAILURES = (RuntimeError, ValueError, cv2.error)
"""What torch, NumPy, OpenCV and the engine itself raise, as when the memory is used up."""


def engine_failure(step: Callable[[], object]) -> str:
    """Do a step of the engine; what it raised, in words, or nothing."""
    try:
        step()
    except _ENGINE_FAILURES as error:
        return f"{type(error).__name__}: {error}"
    return ""

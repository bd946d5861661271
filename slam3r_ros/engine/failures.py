"""What the engine may raise while it runs, in words, so that what is mapped is saved all the same."""

from __future__ import annotations

from collections.abc import Callable

import cv2

ENGINE_FAILURES = (RuntimeError, ValueError, MemoryError, cv2.error)
"""What torch, NumPy, OpenCV and the engine itself raise where a frame cannot be processed. NumPy's MemoryError is no
RuntimeError."""


def engine_failure(step: Callable[[], object]) -> str:
    """Do a step of the engine; what it raised, in words, or nothing."""
    try:
        step()
    except ENGINE_FAILURES as error:
        return f"{type(error).__name__}: {error}"
    return ""

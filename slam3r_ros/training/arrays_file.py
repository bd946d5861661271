"""Arrays in one uncompressed .npz file, written at once, with a key that says what they were made from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], key: str = "") -> None:
    """Write `arrays` and their key; a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial.npz")
    np.savez(partial, **{**arrays, "key": np.array(key)})  # type: ignore[arg-type]  # numpy's stub of **arrays
    os.replace(partial, path)


def read_arrays(path: Path, key: str | None = None) -> Arrays | None:
    """The arrays of a file; None when there is no such file, or its key is another than the one asked for."""
    if not path.exists():
        return None
    with np.load(path) as file:
        if key is not None and ("key" not in file or str(file["key"]) != key):
            return None
        return {name: file[name] for name in file.files if name != "key"}

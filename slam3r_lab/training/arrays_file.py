"""Arrays in one uncompressed .npz file, written at once, with a key that says what they were made from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from .clips import DataError

Arrays = dict[str, NDArray[Any]]


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], key: str = "") -> None:
    """Write `arrays` and their key; a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial.npz")
    np.savez(partial, **{**arrays, "key": np.array(key)})  # type: ignore[arg-type]  # numpy's stub of **arrays
    os.replace(partial, path)


def read_arrays(path: Path) -> tuple[Arrays, str]:
    """The arrays of a file, and their key; raises DataError when it cannot be read."""
    with _opened(path) as file:
        return _arrays_of(file), _key_of(file)


def read_cache(path: Path, key: str) -> Arrays | None:
    """The arrays of a file that can be made again; None when that has to be done: there is none, it is damaged or it
    was made from something else.
    """
    try:
        with _opened(path) as file:
            return _arrays_of(file) if _key_of(file) == key else None
    except DataError:
        return None


@contextmanager
def _opened(path: Path) -> Iterator[NpzFile]:
    try:
        with np.load(path) as file:
            yield file
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{path} cannot be read ({error}): remove it, so that it is made again") from error


def _arrays_of(file: NpzFile) -> Arrays:
    return {name: file[name] for name in file.files if name != "key"}


def _key_of(file: NpzFile) -> str:
    return str(file["key"]) if "key" in file else ""

"""Writing a file so that it is either there whole or not at all, and the errors of files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


class OutputError(OSError):
    """A file cannot be written; the message names it and says why."""


class FileFormatError(ValueError):
    """A file is there but is not what it should be; the message names it and what is wrong."""


def make_writable(folder: Path) -> None:
    """Make a folder and those above it, and try whether files can be written there; raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder '{folder}': {error.strerror or error}") from error
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OutputError(f"cannot write into the folder '{folder}': {error.strerror or error}") from error


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file to write, that takes ``path``'s place when the block ends without an error.

    It is written beside ``path`` and renamed, so that no reader ever sees half of it and an error leaves what was
    there before. Raises OutputError when it cannot be written: no such folder, no permission, a full disk.
    """
    target = Path(path)
    if not target.name:
        raise OutputError(f"cannot write '{path}': not the name of a file")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as error:
        raise OutputError(f"cannot write '{target}': {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # already renamed, or never made
            partial.unlink()

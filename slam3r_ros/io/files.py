"""Writing a file so that it is either there whole or not at all, and the errors of files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
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
    with replacing_together(path) as (file,):
        yield file


@contextmanager
def replacing_together(*paths: str | Path) -> Iterator[Sequence[BinaryIO]]:
    """Several files as `replacing` has one: none takes its path's place before all are completely written.

    A link is kept and what it leads to is replaced; what is no ordinary file, such as /dev/null, is written to.
    """
    targets = [Path(os.path.realpath(path)) for path in paths]
    partials = [_partial_file(target, path) for target, path in zip(targets, paths, strict=True)]
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(open(partial, "wb")) for partial in partials]
            yield files
            for file, partial, target in zip(files, partials, targets, strict=True):
                file.flush()
                if partial != target:
                    os.fsync(file.fileno())
        for partial, target in zip(partials, targets, strict=True):
            os.replace(partial, target)
    except OSError as error:
        names = " and ".join(f"'{path}'" for path in paths)
        raise OutputError(f"cannot write {names}: {error.strerror or error}") from error
    finally:
        for partial in {*partials} - {*targets}:
            with suppress(OSError):  # already renamed, or never made
                partial.unlink()


def _partial_file(target: Path, path: str | Path) -> Path:
    """Where a file is written until it is complete; raises OutputError for what is no file's name."""
    if not Path(path).name:
        raise OutputError(f"cannot write '{path}': not the name of a file")
    if os.path.isdir(target):  # False too for a name that is too long
        raise OutputError(f"cannot write '{path}': it is a folder")
    if os.path.exists(target) and not os.path.isfile(target):
        return target
    return target.with_name(f".{target.name}.{os.getpid()}.partial")

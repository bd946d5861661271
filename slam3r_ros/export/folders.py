"""Writing a folder so that it is either there whole or not at all."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from slam3r_ros.io.files import OutputError

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""Arguments of Linux's renameat2: paths are relative to the working directory; both names change places."""


@contextmanager
def replacing_folder(path: Path, is_replaceable: Callable[[Path], bool]) -> Iterator[Path]:
    """A new folder to write into, that takes the place of the folder `path` when the block ends without an error.

    It is made beside `path`, and on the disk before it takes its place: whatever ends the process, `path` is the whole
    new folder or the whole former one. A folder that is there already is replaced only if it is empty or
    ``is_replaceable`` says so, since it might hold what nobody wants to lose. A link is kept, and the folder that it
    leads to is replaced. Raises OutputError when that is not so, and when something cannot be written.
    """
    target = Path(os.path.realpath(path.expanduser()))
    if os.path.lexists(target) and not os.path.isdir(target):
        raise OutputError(f"cannot write '{path}': it is a file, not a folder")
    if os.path.isdir(target) and any(target.iterdir()) and not is_replaceable(target):
        raise OutputError(f"cannot write '{path}': the folder holds other files than those of an export")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a process of this number that was killed
        partial.mkdir(parents=True)
        yield partial
        _synchronize(partial)
        if os.path.isdir(target):
            _exchange(partial, target)
        else:
            os.rename(partial, target)
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # unfinished, or the former folder


def _exchange(new: Path, former: Path) -> None:
    """Let two folders change their names in one step. Where the file system cannot do that it takes two steps, between
    which there is neither."""
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(new), os.fsencode(former)
    if hasattr(library, "renameat2") and not library.renameat2(
        _AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE
    ):
        return
    aside = former.with_name(f"{new.name}.former")
    os.rename(former, aside)
    try:
        os.rename(new, former)
    except OSError:
        os.rename(aside, former)
        raise
    os.rename(aside, new)


def _synchronize(folder: Path) -> None:
    """Have all files in a folder reach the disk."""
    for path in sorted(folder.rglob("*")):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

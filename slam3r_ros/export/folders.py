"""Writing a folder so that it is either there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from slam3r_ros.io.files import OutputError


@contextmanager
def replacing_folder(path: Path, is_replaceable: Callable[[Path], bool]) -> Iterator[Path]:
    """A new folder to write into, that takes the place of the folder `path` when the block ends without an error.

    It is made beside `path`. A folder that is there already is replaced only if it is empty or ``is_replaceable`` says
    so, since it might hold what nobody wants to lose. Raises OutputError when that is not so, and when something cannot
    be written.
    """
    target = Path(os.path.abspath(path.expanduser()))
    if os.path.lexists(target) and not os.path.isdir(target):
        raise OutputError(f"cannot write '{path}': it is a file, not a folder")
    if os.path.isdir(target) and any(target.iterdir()) and not is_replaceable(target):
        raise OutputError(f"cannot write '{path}': the folder holds other files than those of an export")
    partial, former = (target.with_name(f".{target.name}.{os.getpid()}.{kind}") for kind in ("partial", "former"))
    try:
        partial.mkdir(parents=True)
        yield partial
        if os.path.isdir(target):
            os.rename(target, former)
        try:
            os.rename(partial, target)
        except OSError:
            if former.is_dir():
                os.rename(former, target)
            raise
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)

"""The scratch folder: everything that the app writes is in it, and goes with it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from slam3r_ros.io.files import make_writable

_PREFIX = "slam3r_app_"
_LOCK_NAME = ".lock"


class ScratchFolder:
    """A folder of this process alone, which `close` removes.

    A process that was killed leaves its folder behind; the next one that works in the same place removes it. A lock
    says which folders are still in use: it is let go of when its process ends, however that ends.
    """

    def __init__(self, place: Path | None = None) -> None:
        """Make a folder in ``place``, by default the folder for temporary files. Raises OutputError."""
        place = Path(tempfile.gettempdir()) if place is None else place.expanduser().absolute()
        make_writable(place)
        for left in place.glob(f"{_PREFIX}*"):
            _remove_unused(left)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        self._lock = (self.path / _LOCK_NAME).open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def folder(self, name: str) -> Path:
        """A folder inside, made where it is not there."""
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _remove_unused(folder: Path) -> None:
    """Remove a folder of this user that a process has left behind."""
    with suppress(OSError):
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return
        with (folder / _LOCK_NAME).open("rb") as lock:
            if _is_free(lock):
                shutil.rmtree(folder, ignore_errors=True)


def _is_free(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

"""One process writes a map file: a lock on the file itself, which ends with the process however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from slam3r_ros.io.files import OutputError
from slam3r_ros.map_file.errors import MapFileInUseError

_NOT_SUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP)
"""Errors of file systems that have no locks; there nothing is locked."""


class FileLock:
    """A lock (flock) on a file, which is made where there is none.

    SQLite's own locks are of another kind (POSIX), which two connections of one process do not see and which any
    ``close`` of the file gives back. So the file must not be opened by anything else than SQLite while it is locked.
    """

    def __init__(self, path: Path) -> None:
        """Raises MapFileInUseError where another one holds the lock, and OutputError where the file cannot be opened
        to be written."""
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise OutputError(f"cannot write '{path}': {error.strerror or error}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise MapFileInUseError(
                f"'{path}' is being written by another process: end that one, or name another file"
            ) from error
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                os.close(self._descriptor)
                raise OutputError(f"cannot lock '{path}': {error.strerror or error}") from error

    def is_at(self, path: Path) -> bool:
        """Whether this path still leads to the locked file."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(path))
        except OSError:
            return False

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._descriptor).st_size

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)

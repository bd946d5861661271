"""The folder of one visitor's uploaded files: what comes in is counted before it is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType

from slam3r_ros.app.file_names import safe_name, unused_name
from slam3r_ros.app.limits import MEBIBYTE, AppTuning, UploadError, UploadLimits
from slam3r_ros.io.sources.file_order import in_order

_HALF_SUFFIX = ".half"
"""What is appended to the hidden name of a file that is not complete yet."""


class UploadFolder:
    """A folder inside of the scratch folder. To be used by one thread at a time."""

    def __init__(self, path: Path, limits: UploadLimits, tuning: AppTuning | None = None) -> None:
        """Make the folder. Raises OSError where that is not possible."""
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        """Where the complete files are."""
        self.limits = limits
        self._tuning = tuning or AppTuning()
        self._sizes: dict[str, int] = {}
        self._incoming: dict[str, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the complete files, in the order in which they came."""
        return tuple(self._sizes)

    @property
    def total_bytes(self) -> int:
        """Bytes of the complete files."""
        return sum(self._sizes.values())

    def receive(self, name: str, size: int) -> IncomingFile:
        """A file of ``size`` bytes that is about to come, to be written and completed. Raises UploadError where it is
        empty or does not fit into what is left of the limits."""
        shown = safe_name(name)
        if size <= 0:
            raise UploadError(f"'{shown}' is empty: it has no bytes")
        self._check_room(shown, size)
        file = IncomingFile(self, unused_name(shown, {*self._sizes, *self._incoming}), size)
        self._incoming[file.name] = size
        return file

    def remove(self, name: str) -> None:
        """Remove one complete file."""
        (self.path / name).unlink(missing_ok=True)
        self._sizes.pop(name, None)

    def look_again(self) -> None:
        """Count the files again, after another process has unpacked some of them."""
        files = [path for path in self.path.iterdir() if path.is_file() and not path.name.startswith(".")]
        self._sizes = {path.name: path.stat().st_size for path in in_order(files)}

    def clear(self) -> None:
        """Remove all files, half ones too."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sizes.clear()
        self._incoming.clear()

    def _check_room(self, shown: str, size: int) -> None:
        limits = self.limits
        if len(self._sizes) + len(self._incoming) >= limits.files:
            raise UploadError(f"'{shown}' is left out: at most {limits.files} files may be uploaded")
        used = self.total_bytes + sum(self._incoming.values())
        if used + size > limits.total_bytes:
            raise UploadError(
                f"'{shown}' of {mebibytes(size)} is too large: at most {mebibytes(limits.total_bytes)} may be "
                f"uploaded, of which {mebibytes(used)} are used"
            )
        free = shutil.disk_usage(self.path).free
        if size + self._tuning.free_bytes > free:
            raise UploadError(f"'{shown}' of {mebibytes(size)} is too large: the disk has {mebibytes(free)} left")

    def settle(self, file: IncomingFile, *, is_complete: bool) -> None:
        """A file is not coming any more: it is complete, or it is given up."""
        size = self._incoming.pop(file.name, None)
        if is_complete and size is not None:
            self._sizes[file.name] = size


class IncomingFile:
    """A file that is being uploaded; a context manager that removes what is incomplete when it ends."""

    def __init__(self, folder: UploadFolder, name: str, size: int) -> None:
        self.name = name
        """The name under which the file is kept."""
        self.received_bytes = 0
        """Bytes that have come so far."""
        self._folder, self._size = folder, size
        self._half = folder.path / f".{name}{_HALF_SUFFIX}"
        self._file = self._half.open("xb")

    def write(self, content: bytes) -> None:
        """The next bytes. Raises UploadError for more than were announced and for a disk that is full."""
        self.received_bytes += len(content)
        if self.received_bytes > self._size:
            raise UploadError(f"'{self.name}' has more than the {self._size} bytes that were announced")
        try:
            self._file.write(content)
        except OSError as error:
            raise UploadError(f"'{self.name}' cannot be written: {error.strerror or error}") from error

    def complete(self) -> Path:
        """The file, now under its name. Raises UploadError where bytes are missing."""
        if self.received_bytes != self._size:
            raise UploadError(f"'{self.name}' breaks off after {self.received_bytes} of {self._size} bytes")
        path = self._folder.path / self.name
        try:
            self._file.close()
            self._half.rename(path)
        except OSError as error:
            raise UploadError(f"'{self.name}' cannot be written: {error.strerror or error}") from error
        self._folder.settle(self, is_complete=True)
        return path

    def __enter__(self) -> IncomingFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._half.unlink(missing_ok=True)
        self._folder.settle(self, is_complete=False)


def mebibytes(size: int) -> str:
    """A number of bytes in mebibytes, for people."""
    shown = max(size / MEBIBYTE, 0.1) if size else 0.0
    return f"{shown:.1f} MiB" if size < 10 * MEBIBYTE else f"{shown:.0f} MiB"

"""The process that makes files to take away of a map, so that the page goes on meanwhile."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from slam3r_ros.app.child_process import ChildProcess, ProcessEndedError, ignore_interrupts
from slam3r_ros.app.limits import AppTuning
from slam3r_ros.export.formats import FORMATS, export
from slam3r_ros.export.scene import ExportOptions
from slam3r_ros.io.files import FileFormatError, OutputError
from slam3r_ros.map_file.reader import MapFile


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """A file to make of a map file."""

    map_file: Path
    format_name: str
    """One of `slam3r_ros.export.formats.FORMATS`."""
    metres_per_unit: float
    """Metres per scene unit; 0 where it is not known."""
    target: Path
    """The file, or the folder of COLMAP; a folder becomes a ZIP archive beside it."""


class ExportError(RuntimeError):
    """A file cannot be made; the message says why."""


class Exporter:
    """Makes files, one after the other, in a process of its own."""

    def __init__(self, tuning: AppTuning | None = None) -> None:
        self._tuning = tuning or AppTuning()
        self._process = ChildProcess("slam3r_export", answer_exports)
        self._lock = threading.Lock()

    def export(self, request: ExportRequest) -> Path:
        """The file that was made. Raises ExportError."""
        with self._lock:
            try:
                self._process.send(request)
                answer = self._process.receive(self._tuning.export_s)
            except ProcessEndedError as error:
                self._process.kill()
                raise ExportError(f"the file could not be made: {error}") from error
            if answer is None:
                self._process.kill()
        if isinstance(answer, Path):
            return answer
        raise ExportError(f"it took over {self._tuning.export_s:.0f} s" if answer is None else str(answer))

    def close(self) -> None:
        """End the process."""
        self._process.close()


def answer_exports(connection: Connection) -> None:
    """What the process does: answer each request with the path of a file, or with the reason why there is none, until
    the pipe is closed."""
    ignore_interrupts()
    while True:
        try:
            request = connection.recv()
        except (EOFError, OSError):
            return
        assert isinstance(request, ExportRequest)
        answer: Path | str
        try:
            answer = _made(request)
        except (OutputError, FileFormatError, OSError, MemoryError) as error:
            answer = str(error) or type(error).__name__
        connection.send(answer)


def _made(request: ExportRequest) -> Path:
    """Make the file. Raises OutputError, FileFormatError and OSError."""
    options = ExportOptions(metres_per_unit=request.metres_per_unit)
    with MapFile(request.map_file) as file:
        export(file.reconstruction(), request.format_name, request.target, options)
    if FORMATS[request.format_name].suffix:
        return request.target
    archive = Path(shutil.make_archive(str(request.target), "zip", request.target))
    shutil.rmtree(request.target)
    return archive

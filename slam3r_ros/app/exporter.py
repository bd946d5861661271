"""The process that makes files to take away of a map, so that the page goes on meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from slam3r_ros.app.child_process import ChildProcess, ProcessEndedError, ignore_interrupts
from slam3r_ros.app.limits import AppTuning
from slam3r_ros.film.film import FilmOptions, FilmView, make_film
from slam3r_ros.io.files import FileFormatError, OutputError
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.viewer.map_actions import ActionError
from slam3r_ros.viewer.saved_map import export_map


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """A file to make of a map file."""

    map_file: Path
    format_name: str
    """One of `slam3r_ros.viewer.saved_map.DOWNLOADS`."""
    folder: Path
    """Where the file goes."""


@dataclass(frozen=True, slots=True)
class FilmRequest:
    """A film to make of a map file."""

    map_file: Path
    view: FilmView
    """What it shows."""
    target: Path
    """The film."""


@dataclass(frozen=True, slots=True)
class FilmProgress:
    """How far a film is."""

    done: int
    """Pictures that are drawn."""
    total: int
    """Pictures that there will be."""


class Exporter:
    """Makes files, one after the other, in a process of its own."""

    def __init__(self, tuning: AppTuning | None = None) -> None:
        self._tuning = tuning or AppTuning()
        self._process = ChildProcess("slam3r_export", answer_exports)
        self._lock = threading.Lock()

    def export(self, request: ExportRequest) -> Path:
        """The file that was made. Raises ActionError."""
        return self._answer(request, lambda _: None)

    def film(self, request: FilmRequest, on_progress: Callable[[FilmProgress], None]) -> Path:
        """The film that was made; ``on_progress`` is called as it grows. Raises ActionError."""
        return self._answer(request, on_progress)

    def _answer(self, request: ExportRequest | FilmRequest, on_progress: Callable[[FilmProgress], None]) -> Path:
        """What the process answers in the end. Raises ActionError."""
        with self._lock:
            try:
                self._process.send(request)
                while isinstance(answer := self._process.receive(self._tuning.export_s), FilmProgress):
                    on_progress(answer)
            except ProcessEndedError as error:
                self._process.kill()
                raise ActionError(f"the file could not be made: {error}") from error
            if answer is None:
                self._process.kill()
        if isinstance(answer, Path):
            return answer
        raise ActionError(f"it took over {self._tuning.export_s:.0f} s" if answer is None else str(answer))

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
        answer: Path | str
        try:
            if isinstance(request, FilmRequest):
                answer = _film(request, connection)
            else:
                assert isinstance(request, ExportRequest)
                answer = export_map(request.map_file, request.format_name, request.folder)
        except (ActionError, FileFormatError, OutputError) as error:
            answer = str(error)
        except MemoryError:
            answer = "the computer has too little memory for this"
        connection.send(answer)


def _film(request: FilmRequest, connection: Connection) -> Path:
    """Make a film, and say how far it is. Raises FileFormatError and OutputError."""

    def show(done: int, total: int) -> bool:
        connection.send(FilmProgress(done, total))
        return True

    with MapFile(request.map_file) as file:
        make_film(file.reconstruction(), request.target, FilmOptions(request.view), show)
    return request.target

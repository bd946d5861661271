"""The processes that make files and films to take away of a map, so that the page goes on meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from slam3r_ros.film.film import FilmOptions, make_film
from slam3r_ros.io.files import FileFormatError, OutputError
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.viewer.child_process import ChildProcess, ProcessEndedError, ignore_interrupts
from slam3r_ros.viewer.export_map import export_map
from slam3r_ros.viewer.map_actions import ActionError, FilmProgress
from slam3r_ros.viewer.tuning import TUNING, ViewerTuning


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """A file to make of a map file."""

    map_file: Path
    format_name: str
    """One of `slam3r_ros.viewer.export_map.DOWNLOADS`."""
    folder: Path
    """Where the file goes."""


@dataclass(frozen=True, slots=True)
class FilmRequest:
    """A film to make of a map file."""

    map_file: Path
    options: FilmOptions
    """What it shows, and how large it is."""
    target: Path
    """The film."""


class Exporter:
    """Makes files one after the other, and one film at a time, each in a process of its own."""

    def __init__(self, tuning: ViewerTuning = TUNING) -> None:
        self._tuning = tuning
        self._files, self._films = (ChildProcess(f"slam3r_{name}", answer_exports) for name in ("export", "film"))
        self._files_lock, self._films_lock = threading.Lock(), threading.Lock()

    def export(self, request: ExportRequest) -> Path:
        """The file that was made. Raises ActionError."""
        with self._files_lock:
            return self._answer(self._files, request, lambda _: None)

    def film(self, request: FilmRequest, on_progress: Callable[[FilmProgress], None]) -> Path:
        """The film that was made; ``on_progress`` is called as it grows. Raises ActionError, at once where another film
        is being made, since that may take minutes."""
        if not self._films_lock.acquire(blocking=False):
            raise ActionError("another film is being made: try again when it is done")
        try:
            return self._answer(self._films, request, on_progress)
        finally:
            self._films_lock.release()

    def _answer(
        self,
        process: ChildProcess,
        request: ExportRequest | FilmRequest,
        on_progress: Callable[[FilmProgress], None],
    ) -> Path:
        """What the process answers in the end. Raises ActionError."""
        try:
            process.send(request)
            while isinstance(answer := process.receive(self._tuning.export_s), FilmProgress):
                on_progress(answer)
        except ProcessEndedError as error:
            process.kill()
            raise ActionError(f"the file could not be made: {error}") from error
        if answer is None:
            process.kill()
        if isinstance(answer, Path):
            return answer
        raise ActionError(f"it took over {self._tuning.export_s:.0f} s" if answer is None else str(answer))

    def close(self) -> None:
        """End the processes."""
        self._files.close()
        self._films.close()


def answer_exports(connection: Connection) -> None:
    """What a process does: answer each request with the path of a file, or with the reason why there is none, until
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
        make_film(file.reconstruction(), request.target, request.options, show)
    return request.target

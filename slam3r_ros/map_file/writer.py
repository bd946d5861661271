"""The thread that writes a map file while the map grows."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import cv2

from slam3r_ros.engine.events import Update
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.io.files import OutputError
from slam3r_ros.map_file.database import MapDatabase
from slam3r_ros.map_file.errors import MapFileError
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.map_file.open_file import OpenMapFile, WrittenMap
from slam3r_ros.types import MapUpdate, PoseUpdate

_FAILURES = (sqlite3.Error, OSError, MapFileError)
"""How the disk and SQLite fail; what was to be written is tried again."""


@dataclass(frozen=True, slots=True)
class WriterTuning:
    """When the writer writes, and how much it holds back while it cannot."""

    poses_wait_s: float = 2.0
    """Longest time in seconds that poses wait for a keyframe to be written with."""
    retry_s: float = 2.0
    """Time in seconds from one attempt to write to the next while the disk refuses."""
    most_waiting_keyframes: int = 64
    """Keyframes that wait while the disk is slow or full; of more, the oldest ones are left out of the file."""
    most_waiting_events: int = 20_000
    """Events that wait in the same case; of more, the oldest ones are left out."""
    stop_limit_s: float = 20.0
    """Longest time in seconds that closing waits for the disk."""


TUNING = WriterTuning()
"""The values in use."""


class _Request:
    """Something to be done by the thread after everything that was given before."""

    def __init__(self, action: Callable[[], WrittenMap | None]) -> None:
        self.action: Final = action
        self.future: Final[Future[WrittenMap | None]] = Future()


class MapFileWriter:
    """Writes the engine's events into a map file on a thread of its own.

    A keyframe is committed, and on the disk, as soon as the disk has taken it: whatever ends the process loses at most
    the one in work. The file is made with the first keyframe, so no file is ever replaced by an empty one; one that is
    there already is set aside as ``NAME.1.slam3r``. While the disk refuses, what is to be written waits in memory, and
    `problem` says why. Events come from one thread; the other methods may be called from any.
    """

    def __init__(
        self,
        path: Path,
        facts: MapFacts,
        on_problem: Callable[[str], None] | None = None,
        *,
        continues: bool = False,
    ) -> None:
        """Lock the file. ``on_problem`` is called in the writer's thread with a sentence when writing fails or file and
        folder are not what they were.

        With ``continues`` what is written goes on in the file that is there: it does not count until a `MapCorrection`
        that joins the two; a session that is never joined becomes a file of its own when the writer closes.

        Raises MapFileInUseError where another process writes it, MapFileError where it cannot be continued, and
        OutputError where nothing can be written there.
        """
        self.problem = ""
        """Why the last attempt to write failed; empty while writing works."""
        self.keyframes_left_out = 0
        """Keyframes that are not in the file, because the disk was full or too slow."""
        self._on_problem = on_problem or (lambda _: None)
        self._file = OpenMapFile(path, facts, self._on_problem, continues=continues)
        self._given_voxel_size = 0.0
        self._waiting: list[Update | _Request] = []
        self._changed = threading.Condition()
        self._is_urgent = self._is_closing = self._has_ended = False
        self._thread = threading.Thread(target=self._run, name="slam3r_map_file", daemon=True)
        self._thread.start()

    def __enter__(self) -> MapFileWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._is_closing:
            self.close()

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._file.path

    @property
    def set_aside(self) -> Path | None:
        """Where the file of before was set aside, if there was one."""
        return self._file.set_aside

    # ---- what the engine's thread calls ------------------------------------------------------------------------

    def write(self, event: Update) -> None:
        """Take the next event; it is written in the background."""
        with self._changed:
            self._waiting.append(event)
            if not isinstance(event, PoseUpdate | MapUpdate):
                self._is_urgent = True
                self._changed.notify()

    def set_scale(self, scale: StoredScale) -> None:
        """Note how long a scene unit is."""
        self._submit(lambda: self._file.set_scale(scale))

    def set_voxel_size(self, voxel_size: float) -> None:
        """Note the side of the map's voxels, scene units, with which the points are fused when the file is read."""
        if voxel_size != self._given_voxel_size:
            self._given_voxel_size = voxel_size
            self._submit(lambda: self._file.set_voxel_size(voxel_size))

    def start_anew(self) -> None:
        """A new map begins: its first keyframe sets the present file aside and begins a new one."""
        self._submit(self._file.close)

    def begin_session(self) -> None:
        """What is written from now on does not count until a `MapCorrection` that joins it with what is there, as with
        ``continues``."""
        self._submit(self._file.begin_session)

    def checkpoint(self, copy: Path | None = None) -> Future[WrittenMap | None]:
        """Write everything given so far, and into the file ``copy``, if it is given.

        The result is None where no keyframe is mapped, and an OutputError where it cannot be written.
        """
        return self._submit(lambda: self._file.checkpoint(copy))

    def close(self, *, replaces: bool = False) -> WrittenMap | None:
        """Write everything, close the file and end the thread; None where no keyframe was mapped.

        With ``replaces`` the file that was set aside is removed, if a new one is there. Raises OutputError where the
        file could not be completed; what is in it stays.
        """
        closed = self._submit(lambda: self._file.finish(replaces))
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(TUNING.stop_limit_s)
        if self._thread.is_alive():
            raise OutputError(f"'{self.path}' is not complete: the disk does not answer")
        return closed.result(0)

    # ---- the thread --------------------------------------------------------------------------------------------

    def _submit(self, action: Callable[[], WrittenMap | None]) -> Future[WrittenMap | None]:
        request = _Request(action)
        with self._changed:
            if self._has_ended:
                raise OutputError(self.problem or f"'{self.path}' is closed")
            self._waiting.append(request)
            self._is_urgent = True
            self._changed.notify()
        return request.future

    def _run(self) -> None:
        try:
            while not self._work():
                pass
        except Exception as error:
            self._note_problem(f"'{self.path}' is no longer written: {type(error).__name__}: {error}")
            raise
        finally:
            self._let_go()

    def _work(self) -> bool:
        """Wait for something to write and write it; whether the thread is to end."""
        with self._changed:
            wait_s = TUNING.retry_s if self.problem else TUNING.poses_wait_s
            self._changed.wait_for(lambda: self._is_closing or (self._is_urgent and not self.problem), wait_s)
            waiting, self._waiting, self._is_urgent = self._waiting, [], False
            is_closing = self._is_closing
        rest = self._process(waiting)
        with self._changed:
            self._waiting = self._shortened([*rest, *self._waiting])
            return is_closing and not any(isinstance(each, _Request) for each in self._waiting)

    def _process(self, waiting: list[Update | _Request]) -> list[Update]:
        """Write what waits, in its order, and answer the requests; the events that could not be written."""
        events: list[Update] = []
        for each in waiting:
            if isinstance(each, _Request):
                events = self._write_events(events)
                self._answer(each)
            else:
                events.append(each)
        return self._write_events(events)

    def _answer(self, request: _Request) -> None:
        """Do what a request asks, unless what came before it could not be written."""
        try:
            if self.problem:
                raise OutputError(self.problem)
            request.future.set_result(request.action())
        except _FAILURES as error:
            said = error if isinstance(error, OutputError) else OutputError(f"cannot write '{self.path}': {error}")
            request.future.set_exception(said)

    def _write_events(self, events: list[Update]) -> list[Update]:
        """Write events in one transaction; all of them where that fails, and none where it does not."""
        if not events or (not self._file.has_begun and not any(isinstance(each, KeyframeView) for each in events)):
            return events
        try:
            database = self._file.database()
            with database.transaction():
                for event in events:
                    self._write_event(database, event)
        except _FAILURES as error:
            self._note_problem(f"'{self.path}' is not written, and what is mapped waits: {error}")
            return events
        self.problem = ""
        return []

    def _write_event(self, database: MapDatabase, event: Update) -> None:
        """Write one event; one that cannot be made bytes of is left out, with a message."""
        try:
            database.write(event)
        except (ValueError, cv2.error) as error:
            self._on_problem(f"a {type(event).__name__} is left out of '{self.path}': {error}")

    def _shortened(self, waiting: list[Update | _Request]) -> list[Update | _Request]:
        """What waits without the oldest events, where there are too many."""
        views = [position for position, each in enumerate(waiting) if isinstance(each, KeyframeView)]
        excess = max(0, len(views) - TUNING.most_waiting_keyframes)
        left_out = set(views[:excess])
        self.keyframes_left_out += len(left_out)
        kept = [each for position, each in enumerate(waiting) if position not in left_out]
        too_many = max(0, len(kept) - TUNING.most_waiting_events)
        return [each for position, each in enumerate(kept) if position >= too_many or isinstance(each, _Request)]

    def _note_problem(self, problem: str) -> None:
        is_new, self.problem = problem != self.problem, problem
        if is_new:
            self._on_problem(problem)

    def _let_go(self) -> None:
        self._file.let_go()
        with self._changed:
            self._has_ended = True
            waiting, self._waiting = self._waiting, []
        for each in waiting:
            if isinstance(each, _Request):
                each.future.set_exception(OutputError(self.problem or f"'{self.path}' is closed"))

"""The thread that writes a map file while the map grows."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import cv2

from slam3r_ros.engine.events import Update
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.io.files import OutputError, make_writable
from slam3r_ros.map_file.connection import close_writer, copy_to, open_to_write
from slam3r_ros.map_file.database import MapDatabase, first_free_frame
from slam3r_ros.map_file.errors import MapFileError
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.map_file.file_lock import FileLock
from slam3r_ros.map_file.paths import checked_path, free_name
from slam3r_ros.map_file.sessions import split_unjoined
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


@dataclass(frozen=True, slots=True)
class WrittenMap:
    """A map file that is complete."""

    path: Path
    """The file."""
    keyframe_count: int
    """Its keyframes, at least 1."""


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
        self.path = checked_path(path)
        self.problem = ""
        """Why the last attempt to write failed; empty while writing works."""
        self.keyframes_left_out = 0
        """Keyframes that are not in the file, because the disk was full or too slow."""
        self.set_aside: Path | None = None
        """Where the file of before was set aside, if there was one."""
        self._facts, self._scale = facts, StoredScale()
        self._voxel_size = self._given_voxel_size = 0.0
        self._on_problem = on_problem or (lambda _: None)
        make_writable(self.path.parent)
        self._lock = FileLock(self.path)
        self._connection: sqlite3.Connection | None = None
        self._database: MapDatabase | None = None
        if continues:
            try:
                self._continue()
            except BaseException:
                self._lock.release()
                raise
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

        def change() -> None:
            self._scale = scale
            if self._database is not None:
                with self._database.transaction():
                    self._database.write_scale(scale)

        self._submit(change)

    def set_voxel_size(self, voxel_size: float) -> None:
        """Note the side of the map's voxels, scene units, with which the points are fused when the file is read."""

        def change() -> None:
            self._voxel_size = voxel_size
            if self._database is not None:
                with self._database.transaction():
                    self._database.write_meta(voxel_size=voxel_size)

        if voxel_size != self._given_voxel_size:
            self._given_voxel_size = voxel_size
            self._submit(change)

    def start_anew(self) -> None:
        """A new map begins: its first keyframe sets the present file aside and begins a new one."""
        self._submit(self._close_file)

    def begin_session(self) -> None:
        """What is written from now on does not count until a `MapCorrection` that joins it with what is there, as with
        ``continues``."""
        self._submit(self._begin_session)

    def checkpoint(self, copy: Path | None = None) -> Future[WrittenMap | None]:
        """Write everything given so far, and into the file ``copy``, if it is given.

        The result is None where no keyframe is mapped, and an OutputError where it cannot be written.
        """
        return self._submit(lambda: self._checkpoint(copy))

    def close(self, *, replaces: bool = False) -> WrittenMap | None:
        """Write everything, close the file and end the thread; None where no keyframe was mapped.

        With ``replaces`` the file that was set aside is removed, if a new one is there. Raises OutputError where the
        file could not be completed; what is in it stays.
        """
        closed = self._submit(lambda: self._finish(replaces))
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
        if not events or (self._database is None and not any(isinstance(each, KeyframeView) for each in events)):
            return events
        try:
            database = self._open_database()
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

    # ---- the file ----------------------------------------------------------------------------------------------

    def _open_database(self) -> MapDatabase:
        """The database; it is made for the first keyframe, and made again where the file was moved away."""
        if self._database is not None and not self._lock.is_at(self.path):
            self._restore()
        if self._database is not None:
            return self._database
        if not self._lock.is_at(self.path):  # removed before it had anything
            self._lock_anew()
        if self._lock.size:
            self.set_aside = free_name(self.path)
            self.path.rename(self.set_aside)
            self._lock_anew()
            self._on_problem(f"the map of before is kept as '{self.set_aside}'")
        return self._use(open_to_write(self.path))

    def _use(self, connection: sqlite3.Connection) -> MapDatabase:
        database = MapDatabase(connection)
        with database.transaction():
            database.write_facts(self._facts)
            if (stored := database.read_meta("scale")) is None:
                database.write_scale(self._scale)
            else:
                self._scale = StoredScale(**stored)
            database.write_meta(closed=False)
            if self._voxel_size:
                database.write_meta(voxel_size=self._voxel_size)
        self._connection, self._database = connection, database
        return database

    def _continue(self) -> None:
        """Open the file that is there, to go on in it."""
        if not self._lock.size:
            raise MapFileError(f"'{self.path}' is empty: there is nothing to go on from")
        self._use(open_to_write(self.path))
        self._begin_session()

    def _begin_session(self) -> None:
        if self._connection is None or self._database is None:
            return
        self._split_unjoined()
        with self._database.transaction():
            self._database.write_meta(unjoined_from=first_free_frame(self._connection))

    def _split_unjoined(self) -> None:
        """Make a file of its own of a session that was not joined with the rest, if there is one."""
        assert self._connection is not None
        if (apart := split_unjoined(self._connection, self.path)) is not None:
            self._on_problem(f"a session that was not localized in '{self.path}' is kept by itself as '{apart}'")

    def _lock_anew(self) -> None:
        lock = FileLock(self.path)
        self._lock.release()
        self._lock = lock

    def _restore(self) -> None:
        """The open file was moved away or removed: write all that it has into a new one, and go on there."""
        assert self._connection is not None
        make_writable(self.path.parent)
        target = free_name(self.path)
        with suppress(sqlite3.Error):  # so that the file that was moved away is complete as well
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        copy_to(self._connection, target)
        self._connection.close()
        self._connection = self._database = None
        self._on_problem(f"'{self.path}' was moved away or removed: the whole map goes on in '{target}'")
        self.path = target
        self._lock_anew()
        self._use(open_to_write(target))

    def _checkpoint(self, copy: Path | None) -> WrittenMap | None:
        if self._connection is None or self._database is None:
            return None
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        target = self.path if copy is None else checked_path(copy)
        if target != self.path:
            make_writable(target.parent)
            if target.exists():
                FileLock(target).release()  # raises where another process writes it
            with self._database.transaction():
                self._database.write_meta(closed=True)
            copy_to(self._connection, target)
            with self._database.transaction():
                self._database.write_meta(closed=False)
        return WrittenMap(target, self._count())

    def _count(self, first_frame: int = 0) -> int:
        """Number of keyframes from this frame on."""
        assert self._connection is not None
        query = "SELECT COUNT(*) FROM keyframes WHERE frame >= ?"
        return int(self._connection.execute(query, (first_frame,)).fetchone()[0])

    def _close_file(self) -> None:
        """Close the database; the file stays, and is locked."""
        if self._connection is None or self._database is None:
            return
        self._split_unjoined()
        with self._database.transaction():
            self._database.write_meta(closed=True)
        close_writer(self._connection)
        self._connection = self._database = None

    def _finish(self, replaces: bool) -> WrittenMap | None:
        """Close the database, and remove the file that was set aside if this one replaces it."""
        if self._connection is not None:
            self._split_unjoined()
        written = None if self._connection is None else WrittenMap(self.path, self._count())
        self._close_file()
        if written is not None and replaces and self.set_aside is not None:
            self.set_aside.unlink(missing_ok=True)
        return written

    def _let_go(self) -> None:
        """Give the file back, complete or not; an empty one, which was made to be locked, goes."""
        if self._connection is not None:
            self._connection.close()
        if self._lock.is_at(self.path) and not self._lock.size:
            self.path.unlink()
        self._lock.release()
        with self._changed:
            self._has_ended = True
            waiting, self._waiting = self._waiting, []
        for each in waiting:
            if isinstance(each, _Request):
                each.future.set_exception(OutputError(self.problem or f"'{self.path}' is closed"))

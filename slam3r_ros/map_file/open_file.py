"""The map file that a writer has open: made with the first keyframe, found again where it was moved away."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slam3r_ros.io.files import make_writable
from slam3r_ros.map_file.connection import close_writer, copy_to, open_to_write
from slam3r_ros.map_file.database import MapDatabase, first_free_frame
from slam3r_ros.map_file.errors import MapFileError
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.map_file.file_lock import FileLock
from slam3r_ros.map_file.paths import checked_path, free_name
from slam3r_ros.map_file.sessions import split_unjoined


@dataclass(frozen=True, slots=True)
class WrittenMap:
    """A map file that is complete."""

    path: Path
    """The file."""
    keyframe_count: int
    """Its keyframes, at least 1."""


class OpenMapFile:
    """The file with its lock and its database, if there is one yet. Used by one thread at a time."""

    def __init__(self, path: Path, facts: MapFacts, on_problem: Callable[[str], None], *, continues: bool) -> None:
        """Lock the file, and with ``continues`` open it to go on in it. Raises as `MapFileWriter` does."""
        self.path = checked_path(path)
        """Where the file is."""
        self.set_aside: Path | None = None
        """Where the file of before was set aside, if there was one."""
        self._facts, self._scale, self._voxel_size = facts, StoredScale(), 0.0
        self._on_problem = on_problem
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

    @property
    def has_begun(self) -> bool:
        """Whether there is a database."""
        return self._database is not None

    def set_scale(self, scale: StoredScale) -> None:
        """Note how long a scene unit is, in this database or the next one."""
        self._scale = scale
        if self._database is not None:
            with self._database.transaction():
                self._database.write_scale(scale)

    def set_voxel_size(self, voxel_size: float) -> None:
        """Note the side of the map's voxels, scene units, in this database or the next one."""
        self._voxel_size = voxel_size
        if self._database is not None:
            with self._database.transaction():
                self._database.write_meta(voxel_size=voxel_size)

    def database(self) -> MapDatabase:
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

    def begin_session(self) -> None:
        """What is written from now on does not count until a `MapCorrection` joins it with what is there."""
        if self._connection is None or self._database is None:
            return
        self._split_unjoined()
        with self._database.transaction():
            self._database.write_meta(unjoined_from=first_free_frame(self._connection))

    def checkpoint(self, copy: Path | None) -> WrittenMap | None:
        """Have the file complete, or a copy of it where one is asked for; None where there is no database."""
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

    def close(self) -> None:
        """Close the database; the file stays, and is locked."""
        if self._connection is None or self._database is None:
            return
        self._split_unjoined()
        with self._database.transaction():
            self._database.write_meta(closed=True)
        close_writer(self._connection)
        self._connection = self._database = None

    def finish(self, replaces: bool) -> WrittenMap | None:
        """Close the database, and remove the file that was set aside if this one replaces it."""
        if self._connection is not None:
            self._split_unjoined()
        written = None if self._connection is None else WrittenMap(self.path, self._count())
        self.close()
        if written is not None and replaces and self.set_aside is not None:
            self.set_aside.unlink(missing_ok=True)
        return written

    def let_go(self) -> None:
        """Give the file back, complete or not; an empty one, which was made to be locked, goes."""
        if self._connection is not None:
            self._connection.close()
        if self._lock.is_at(self.path) and not self._lock.size:
            self.path.unlink()
        self._lock.release()

    # ---- how ---------------------------------------------------------------------------------------------------

    def _use(self, connection: sqlite3.Connection) -> MapDatabase:
        database = MapDatabase(connection)
        with database.transaction():
            stored_facts = database.read_meta("facts")
            database.write_facts(self._facts if stored_facts is None else MapFacts(**stored_facts).then(self._facts))
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
        self.begin_session()

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

    def _count(self, first_frame: int = 0) -> int:
        """Number of keyframes from this frame on."""
        assert self._connection is not None
        query = "SELECT COUNT(*) FROM keyframes WHERE frame >= ?"
        return int(self._connection.execute(query, (first_frame,)).fetchone()[0])

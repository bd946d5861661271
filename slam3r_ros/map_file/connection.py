"""How the database of a map file is opened: to be read, to be written, to be copied."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slam3r_ros.io.files import OutputError
from slam3r_ros.map_file.errors import DamagedMapFileError, MapFileError
from slam3r_ros.map_file.paths import free_name
from slam3r_ros.map_file.schema import VERSION, create_tables, migrate, version_of

_WAIT_S = 10.0
"""Seconds to wait for a reader that holds the database."""
_MAX_FREE_SHARE = 0.2
"""Share of a file that may be free pages when it is closed; of more it is written anew."""
_CACHE_KIB = 4096
"""SQLite's page cache, KiB."""
_MAX_LEFT_LOG_BYTES = 16 << 20
"""Size in bytes to which SQLite cuts its write-ahead log after a checkpoint."""


def open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that reads a map file, which another process may be writing.

    Raises MapFileError where there is none, where it is something else, or of a newer or an older version.
    """
    connection = _connect_to_read(path)
    try:
        version = version_of(connection, str(path))
    except BaseException:
        connection.close()
        raise
    if version < VERSION:
        connection.close()
        connection = open_copy(path)
    return connection


def open_copy(path: Path) -> sqlite3.Connection:
    """A connection to a copy of a map file as it is now, brought to the newest version: a temporary file, which SQLite
    removes when it is closed. Raises as `open_to_read` does."""
    source = _connect_to_read(path)
    copy = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        version = version_of(source, str(path))
        source.backup(copy)
        migrate(copy, version)
    except BaseException:
        copy.close()
        raise
    finally:
        source.close()
    return copy


def open_to_write(path: Path) -> sqlite3.Connection:
    """A connection that writes a map file, with a write-ahead log; the tables are made where the file is empty.

    A file of an older version is brought to this one, and a copy of it is kept as ``NAME.v<version>.slam3r``. The
    caller holds the `FileLock`. Raises MapFileError as `open_to_read` does, and OutputError.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_WAIT_S)
    try:
        with _in_words(path):
            if not path.stat().st_size:
                create_tables(connection)
            version = version_of(connection, str(path))
            if version < VERSION:
                copy_to(connection, free_name(path.with_suffix(f".v{version}{path.suffix}")))
                migrate(connection, version)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk before the next one begins
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute(f"PRAGMA journal_size_limit = {_MAX_LEFT_LOG_BYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


def close_writer(connection: sqlite3.Connection) -> None:
    """Close a connection of `open_to_write`; the file is then one file, without a log beside it."""
    with suppress(sqlite3.Error):  # a reader is at work, or the disk is full: the log stays beside the file
        connection.execute("PRAGMA busy_timeout = 500")
        connection.execute("PRAGMA journal_mode = DELETE")
        free, pages = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count"))
        if free > _MAX_FREE_SHARE * pages:  # views that were replaced
            connection.execute("VACUUM")
    connection.close()


def copy_to(connection: sqlite3.Connection, target: Path) -> None:
    """Write all that is committed into a file, which replaces an earlier one when it is complete.

    Raises OutputError.
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        copy = sqlite3.connect(partial)
        try:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        finally:
            copy.close()
        _synchronize(partial)
        os.replace(partial, target)
        _synchronize(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise OutputError(f"cannot write '{target}': {_reason(error)}") from error
    finally:
        with suppress(OSError):  # already renamed, or never made
            partial.unlink()


def _connect_to_read(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise MapFileError(f"there is no file '{path}'")
    if not path.stat().st_size:
        raise MapFileError(f"'{path}' is empty")
    connection = _read_only(path, "mode=ro")
    try:
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute("PRAGMA application_id").fetchone()
        return connection
    except sqlite3.OperationalError as error:
        connection.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise MapFileError(
                f"cannot read '{path}': {error}; its folder cannot be written, and '{path.name}-wal' beside it has "
                "the newest keyframes: copy both to another folder"
            ) from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _what_it_is(path, error) from error
    return _read_only(path, "mode=ro&immutable=1")  # in a folder that cannot be written


def _read_only(path: Path, options: str) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?{options}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_WAIT_S)


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors as sentences."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OutputError(f"cannot write '{path}': {error}") from error
    except sqlite3.DatabaseError as error:
        raise _what_it_is(path, error) from error
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {_reason(error)}") from error


def _what_it_is(path: Path, error: sqlite3.DatabaseError) -> MapFileError:
    with path.open("rb") as file:
        is_database = file.read(15) == b"SQLite format 3"
    if not is_database:
        return MapFileError(f"'{path}' is no map file of slam3r_ros")
    return DamagedMapFileError(
        f"'{path}' is damaged ({error}): 'slam3r_ros info {path} --salvage NEW.slam3r' saves what can be read"
    )


def _reason(error: OSError | sqlite3.Error) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _synchronize(path: Path) -> None:
    """Have what is written reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The .db3 files of rosbag2: SQLite databases with a table of topics and one of messages."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

from slam3r_ros.io.bags.messages import BagError, RecordedMessage, Topic

MAGIC = b"SQLite format 3\0"
"""The bytes that a SQLite database begins with."""
_RECOVER = "'sqlite3 FILE .recover | sqlite3 NEW.db3' saves what is whole"


class SqliteFile:
    """The messages of a .db3 file. Raises BagError when it is made of a file that cannot be read."""

    def __init__(self, path: Path) -> None:
        self.problems: list[str] = []
        """What is wrong with the file and leaves some of its messages readable."""
        self.counts: dict[Topic, int] = {}
        """The number of messages of every topic."""
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        self._topics: dict[int, Topic] = {}
        try:
            with closing(self._connected()) as database:
                rows = database.execute("SELECT id, name, type, serialization_format FROM topics").fetchall()
                numbers = dict(database.execute("SELECT topic_id, COUNT(*) FROM messages GROUP BY topic_id"))
        except (sqlite3.Error, UnicodeError) as error:
            raise BagError(f"{error}; {_RECOVER}") from error
        for number, *words in rows:
            topic = self._topics[number] = Topic(*(str(word) for word in words))
            self.counts[topic] = self.counts.get(topic, 0) + numbers.get(number, 0)

    def messages(self, topics: Collection[Topic]) -> Iterator[RecordedMessage]:
        """The messages of these topics in the order of recording. What cannot be read is left out and becomes one of
        the `problems`."""
        wanted = [number for number, topic in self._topics.items() if topic in topics]
        marks = ",".join("?" * len(wanted))
        with closing(self._connected()) as database:
            try:
                rows = database.execute(
                    f"SELECT rowid, topic_id, timestamp FROM messages WHERE topic_id IN ({marks}) "
                    "ORDER BY timestamp, rowid",
                    wanted,
                ).fetchall()
            except (sqlite3.Error, OverflowError) as error:
                self._report(error)
                return
            for row, number, recorded_ns in rows:
                try:
                    found = database.execute("SELECT data FROM messages WHERE rowid = ?", (row,)).fetchone()
                except sqlite3.Error as error:
                    self._report(error)
                    continue
                if found is not None and isinstance(found[0], bytes) and isinstance(recorded_ns, int):
                    yield RecordedMessage(self._topics[number], recorded_ns, found[0])

    def _connected(self) -> sqlite3.Connection:
        """The database, with what its write-ahead log has, where that can be read."""
        if self._log.is_file() and self._log.stat().st_size:
            database = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            try:
                database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
                return database
            except sqlite3.Error as error:
                database.close()
                self._report(error, f"{self._log.name} beside it cannot be read, and what it has is missing")
        address = f"{self._path.absolute().as_uri()}?immutable=1"
        return sqlite3.connect(address, uri=True, check_same_thread=False)

    def _report(self, error: Exception, what: str = "is damaged, and what cannot be read is left out") -> None:
        problem = f"{what}: {error}; {_RECOVER}"
        if problem not in self.problems:
            self.problems.append(problem)

"""MCAP files (https://mcap.dev/spec).

The data section is read record by record, so that neither a message index nor a summary is needed and a file that
breaks off gives what it has. Chunks are decompressed one at a time, in the order of their first message.
"""

from __future__ import annotations

import heapq
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from slam3r_ros.io.bags.compression import DECOMPRESSION_FAILURES, decompressed
from slam3r_ros.io.bags.messages import BagError, RecordedMessage, Topic

MAGIC = b"\x89MCAP0\r\n"
"""The bytes that an MCAP file begins and ends with."""
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _MESSAGE_INDEX, _DATA_END = 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0F
_RECORD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")
_CHUNK_HEAD = struct.Struct("<QQQII")
_FOOTER_BYTES = 9 + 20 + len(MAGIC)
_RECOVER = "what is complete in it is used ('mcap recover FILE -o NEW.mcap' makes a whole file of that)"


@dataclass(slots=True)
class _Chunk:
    """Where a chunk's compressed records lie."""

    start_ns: int
    """The recording time of its first message."""
    offset: int
    """The position of the compressed records in the file."""
    compressed_bytes: int
    """The number of those bytes."""
    uncompressed_bytes: int
    """The number of bytes of the records."""
    checksum: int
    """The CRC-32 of the records; 0 if none was made."""
    compression: str
    """The name of the compression: lz4, zstd or nothing."""
    counts: dict[int, int] = field(default_factory=dict)
    """The number of messages of each channel, as the chunk's message index says; empty without one."""


@dataclass(frozen=True, slots=True)
class _LooseMessage:
    """A message that lies outside of chunks."""

    start_ns: int
    """The time of its recording."""
    channel: int
    """The channel's number."""
    offset: int
    """The position of its data in the file."""
    size: int
    """The number of bytes of its data."""


class McapFile:
    """The messages of an MCAP file. Raises BagError when it is made of a file that gives none and OSError."""

    def __init__(self, path: Path) -> None:
        self.problems: list[str] = []
        """What is wrong with the file and leaves some of its messages readable."""
        self.counts: dict[Topic, int] = {}
        """The number of messages of every topic."""
        self._path = path
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, Topic] = {}
        self._pieces: list[_Chunk | _LooseMessage] = []
        with path.open("rb") as file:
            size = file.seek(0, 2)
            self._scan(file, size)
            self._read_summary(file, size)
            self._count(file)
        self._pieces.sort(key=lambda piece: piece.start_ns)

    def messages(self, topics: Collection[Topic]) -> Iterator[RecordedMessage]:
        """The messages of these topics in the order of recording. What cannot be read is left out and becomes one of
        the `problems`."""
        wanted = {number for number, topic in self._channels.items() if topic in topics}
        waiting: list[tuple[int, int, int, bytes]] = []
        order = 0
        with self._path.open("rb") as file:
            for piece in self._pieces:
                while waiting and waiting[0][0] <= piece.start_ns:
                    yield self._recorded(heapq.heappop(waiting))
                for recorded_ns, channel, data in self._messages_of(file, piece, wanted):
                    heapq.heappush(waiting, (recorded_ns, order, channel, data))
                    order += 1
        while waiting:
            yield self._recorded(heapq.heappop(waiting))

    def _recorded(self, waiting: tuple[int, int, int, bytes]) -> RecordedMessage:
        recorded_ns, _, channel, data = waiting
        return RecordedMessage(self._channels[channel], recorded_ns, data)

    def _messages_of(
        self, file: BinaryIO, piece: _Chunk | _LooseMessage, wanted: set[int]
    ) -> Iterator[tuple[int, int, bytes]]:
        """Recording time, channel and data of the wanted messages of a piece of the file."""
        if isinstance(piece, _LooseMessage):
            if piece.channel in wanted:
                file.seek(piece.offset)
                yield piece.start_ns, piece.channel, file.read(piece.size)
            return
        if piece.counts and wanted.isdisjoint(piece.counts):
            return
        for kind, content in self._records_of(file, piece):
            if kind == _MESSAGE and len(content) >= _MESSAGE_HEAD.size:
                channel, _, recorded_ns, _ = _MESSAGE_HEAD.unpack_from(content)
                if channel in wanted:
                    yield recorded_ns, channel, bytes(content[_MESSAGE_HEAD.size :])

    def _scan(self, file: BinaryIO, size: int) -> None:
        """Find the chunks, messages, schemas and channels of the data section."""
        file.seek(0)
        if file.read(len(MAGIC)) != MAGIC:
            raise BagError("it is empty" if not size else "it does not begin as an MCAP file does")
        position = len(MAGIC)
        while True:
            head = file.read(_RECORD.size)
            kind, length = _RECORD.unpack(head) if len(head) == _RECORD.size else (0, size)
            begin, position = position + _RECORD.size, position + _RECORD.size + length
            if kind in (_DATA_END, _FOOTER):
                return
            if position > size:
                self.problems.append(f"breaks off after {size} bytes, as after a power loss; {_RECOVER}")
                return
            self._note(file, kind, begin, length)
            file.seek(position)

    def _note(self, file: BinaryIO, kind: int, begin: int, length: int) -> None:
        """Take what the data section says at the file's position: a record of ``length`` bytes from ``begin``."""
        if kind in (_SCHEMA, _CHANNEL):
            self._define(kind, file.read(length))
        elif kind == _MESSAGE and length >= _MESSAGE_HEAD.size:
            channel, _, recorded_ns, _ = _MESSAGE_HEAD.unpack(file.read(_MESSAGE_HEAD.size))
            self._pieces.append(
                _LooseMessage(recorded_ns, channel, begin + _MESSAGE_HEAD.size, length - _MESSAGE_HEAD.size)
            )
        elif kind == _CHUNK and length >= _CHUNK_HEAD.size + 8:
            start_ns, _, uncompressed, checksum, name_bytes = _CHUNK_HEAD.unpack(file.read(_CHUNK_HEAD.size))
            if _CHUNK_HEAD.size + name_bytes + 8 > length:
                return
            compression = file.read(name_bytes).decode(errors="replace")
            (compressed,) = struct.unpack("<Q", file.read(8))
            offset = begin + _CHUNK_HEAD.size + name_bytes + 8
            compressed = min(compressed, begin + length - offset)
            self._pieces.append(_Chunk(start_ns, offset, compressed, uncompressed, checksum, compression))
        elif kind == _MESSAGE_INDEX and length >= 6 and self._pieces and isinstance(self._pieces[-1], _Chunk):
            channel, index_bytes = struct.unpack("<HI", file.read(6))
            if index_bytes:
                self._pieces[-1].counts[channel] = index_bytes // 16

    def _read_summary(self, file: BinaryIO, size: int) -> None:
        """Take the schemas and channels that the summary repeats, where there is one."""
        file.seek(max(size - _FOOTER_BYTES, 0))
        footer = file.read(_FOOTER_BYTES)
        if len(footer) < _FOOTER_BYTES or not footer.endswith(MAGIC) or footer[0] != _FOOTER:
            return
        (begin,) = struct.unpack_from("<Q", footer, _RECORD.size)
        if 0 < begin < size - _FOOTER_BYTES:
            file.seek(begin)
            for kind, content in _records(file.read(size - _FOOTER_BYTES - begin)):
                self._define(kind, bytes(content))

    def _count(self, file: BinaryIO) -> None:
        """Count the messages of every topic; chunks whose message index is missing are looked into."""
        counts: dict[int, int] = {}
        for piece in self._pieces:
            if isinstance(piece, _LooseMessage):
                counts[piece.channel] = counts.get(piece.channel, 0) + 1
                continue
            if not piece.counts or not self._channels.keys() >= piece.counts.keys():
                for kind, content in self._records_of(file, piece):
                    self._define(kind, bytes(content) if kind != _MESSAGE else b"")
                    if kind == _MESSAGE and not piece.counts:
                        (channel,) = struct.unpack_from("<H", content)
                        counts[channel] = counts.get(channel, 0) + 1
            for channel, number in piece.counts.items():
                counts[channel] = counts.get(channel, 0) + number
        for channel, topic in self._channels.items():
            self.counts[topic] = self.counts.get(topic, 0) + counts.get(channel, 0)
        if not any(self.counts.values()) and self.problems:
            raise BagError(f"it {self.problems[0]}, but no message is")

    def _define(self, kind: int, content: bytes) -> None:
        """Take a schema or a channel; another record is none of them, and one that is damaged is left out."""
        try:
            if kind == _SCHEMA:
                (number,) = struct.unpack_from("<H", content)
                self._schemas[number] = _text(content, 2)[0]
            elif kind == _CHANNEL:
                number, schema = struct.unpack_from("<HH", content)
                name, end = _text(content, 4)
                encoding, _ = _text(content, end)
                self._channels[number] = Topic(name, self._schemas.get(schema, ""), encoding)
        except struct.error:
            self._report("has a damaged record, which is left out")

    def _records_of(self, file: BinaryIO, chunk: _Chunk) -> Iterator[tuple[int, memoryview]]:
        """Kind and content of a chunk's records; none of a chunk that is damaged."""
        file.seek(chunk.offset)
        try:
            content = decompressed(file.read(chunk.compressed_bytes), chunk.compression)
        except DECOMPRESSION_FAILURES as error:
            self._report(f"has a chunk at byte {chunk.offset} that cannot be decompressed and is left out: {error}")
            return
        if chunk.checksum and zlib.crc32(content) != chunk.checksum:
            self._report(f"has a chunk at byte {chunk.offset} that is damaged (checksum) and is left out")
            return
        yield from _records(content)

    def _report(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def _records(content: bytes) -> Iterator[tuple[int, memoryview]]:
    """Kind and content of each complete record."""
    view, position = memoryview(content), 0
    while position + _RECORD.size <= len(view):
        kind, length = _RECORD.unpack_from(view, position)
        position += _RECORD.size
        if position + length > len(view):
            return
        yield kind, view[position : position + length]
        position += length


def _text(content: bytes, position: int) -> tuple[str, int]:
    """The string that begins at a position, and where it ends; raises struct.error where it is not whole."""
    (length,) = struct.unpack_from("<I", content, position)
    begin, end = position + 4, position + 4 + length
    if end > len(content):
        raise struct.error("a string breaks off")
    return content[begin:end].decode(errors="replace"), end

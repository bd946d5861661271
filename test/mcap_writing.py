"""MCAP files in every form that the format allows, written by hand after https://mcap.dev/spec."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import lz4.frame
from bag_writing import TYPES

from slam3r_ros.io.bags.compression import zstd

MAGIC = b"\x89MCAP0\r\n"
PACKERS = {"": bytes, "lz4": lz4.frame.compress, "zstd": zstd.compress}


@dataclass(frozen=True)
class Form:
    """What a file has, of what it may have."""

    compression: str = ""
    chunk_size: int = 2
    """Messages of a chunk; 0: no chunks."""
    message_index: bool = True
    chunk_index: bool = True
    summary: bool = True
    repeated_channels: bool = True
    statistics: bool = True
    checksum: bool = True
    profile: str = "ros2"
    schema_encoding: str = "ros2msg"
    message_encoding: str = "cdr"


@dataclass
class Written:
    """The file, and where its data section and its last chunk begin."""

    content: bytearray = field(default_factory=lambda: bytearray(MAGIC))
    chunks: list[int] = field(default_factory=list)


def record(kind: int, content: bytes) -> bytes:
    return struct.pack("<BQ", kind, len(content)) + content


def text(value: str) -> bytes:
    return struct.pack("<I", len(value.encode())) + value.encode()


def mcap_file(messages: Sequence[tuple[str, int, Any]], form: Form) -> Written:
    """A file of (topic, time of recording in ns, message), in this order."""
    written = Written()
    written.content += record(0x01, text(form.profile) + text("by hand"))
    names = list(dict.fromkeys((topic, message.__msgtype__) for topic, _, message in messages))
    channels = b""
    for number, (topic, kind) in enumerate(names):
        schema = struct.pack("<H", number + 1) + text(kind) + text(form.schema_encoding) + text("whatever")
        channels += record(0x03, schema)
        channels += record(
            0x04, struct.pack("<HH", number, number + 1) + text(topic) + text(form.message_encoding) + text("")
        )
    encoded = []
    for order, (topic, recorded_ns, message) in enumerate(messages):
        number = names.index((topic, message.__msgtype__))
        head = struct.pack("<HIQQ", number, order, recorded_ns, recorded_ns)
        encoded.append(
            (number, recorded_ns, record(0x05, head + bytes(TYPES.serialize_cdr(message, message.__msgtype__))))
        )
    index = b""
    if not form.chunk_size:
        written.content += channels + b"".join(content for _, _, content in encoded)
    for begin in range(0, len(encoded), form.chunk_size or len(encoded) + 1) if form.chunk_size else ():
        part = encoded[begin : begin + form.chunk_size]
        plain = (channels if begin == 0 else b"") + b"".join(content for _, _, content in part)
        packed = PACKERS[form.compression](plain)
        times = [recorded_ns for _, recorded_ns, _ in part]
        checksum = zlib.crc32(plain) if form.checksum else 0
        head = struct.pack("<QQQI", min(times), max(times), len(plain), checksum) + text(form.compression)
        chunk = record(0x06, head + struct.pack("<Q", len(packed)) + packed)
        written.chunks.append(len(written.content))
        written.content += chunk
        offsets, length = b"", 0
        for number in sorted({number for number, _, _ in part}) if form.message_index else ():
            entries = b"".join(struct.pack("<QQ", time, 0) for other, time, _ in part if other == number)
            offsets += struct.pack("<HQ", number, len(written.content))
            entry = record(0x07, struct.pack("<HI", number, len(entries)) + entries)
            length += len(entry)
            written.content += entry
        index += record(
            0x08,
            struct.pack("<QQQQI", min(times), max(times), written.chunks[-1], len(chunk), len(offsets)) + offsets
            + struct.pack("<Q", length) + text(form.compression) + struct.pack("<QQ", len(packed), len(plain)),
        )  # fmt: skip
    written.content += record(0x0F, bytes(4))
    begin = len(written.content) if form.summary else 0
    if form.summary:
        written.content += channels if form.repeated_channels else b""
        written.content += index if form.chunk_index else b""
        if form.statistics:
            written.content += record(0x0B, struct.pack("<QHIIIIQQI", len(encoded), 1, 1, 0, 0, 1, 0, 0, 0))
    written.content += record(0x02, struct.pack("<QQI", begin, 0, 0)) + MAGIC
    return written

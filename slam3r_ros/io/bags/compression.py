"""The two compressions of bags: Zstandard and LZ4."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZSTD_MAGIC, LZ4_MAGIC = b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"
"""The bytes that compressed data begins with."""
DECOMPRESSION_FAILURES = (zstd.ZstdError, RuntimeError, EOFError)
"""What the decompression of damaged data raises."""


def decompressed(content: bytes, name: str) -> bytes:
    """What is inside of data that is compressed by "zstd", "lz4" or "" (not at all).

    Raises RuntimeError for another name, and DECOMPRESSION_FAILURES.
    """
    if name == "zstd":
        return zstd.decompress(content)
    if name == "lz4":
        return bytes(lz4.frame.decompress(content))
    if name:
        raise RuntimeError(f"its compression is '{name}', not lz4 or zstd")
    return content


def unpack(path: Path, target: Path, head: bytes) -> None:
    """Write what is inside of a compressed file, whose first bytes are ``head``, to another file.

    Raises DECOMPRESSION_FAILURES when what was whole is written, and OSError.
    """
    opener = zstd.open if head.startswith(ZSTD_MAGIC) else lz4.frame.open
    with opener(path, "rb") as packed, target.open("wb") as plain:
        shutil.copyfileobj(packed, plain)

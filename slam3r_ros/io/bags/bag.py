"""A recording: one file, a folder with metadata.yaml, or the parts of a split recording, compressed or not."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

import yaml

from slam3r_ros.io.bags import mcap, sqlite
from slam3r_ros.io.bags.compression import (
    DECOMPRESSION_FAILURES,
    LZ4_MAGIC,
    ZSTD_MAGIC,
    decompressed,
    unpack,
)
from slam3r_ros.io.bags.mcap import McapFile
from slam3r_ros.io.bags.messages import BagError, BagStorage, RecordedMessage, Topic
from slam3r_ros.io.bags.sqlite import SqliteFile

METADATA_NAME = "metadata.yaml"
"""The file that rosbag2 puts beside the files of a bag."""
_STORAGE_SUFFIXES = (".mcap", ".db3")
"""Suffixes of the files that have a bag's messages."""
_COMPRESSED_SUFFIXES = (".zstd", ".zst", ".lz4")
"""Suffixes that stand after those where the whole file is compressed."""


def is_bag_file(path: Path) -> bool:
    """Whether a name is that of a bag's file: .mcap or .db3, and .zstd or another compression's suffix after it."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in _COMPRESSED_SUFFIXES:
        suffixes.pop()
    return bool(suffixes) and suffixes[-1] in _STORAGE_SUFFIXES


def bag_files(path: Path) -> list[Path]:
    """The files of the recording at a path: the path itself, or the parts of a folder's only recording in their order.

    Empty if there is no recording. Raises BagError for a folder that has several.
    """
    if not path.is_dir():
        return [path] if is_bag_file(path) else []
    files = sorted((file for file in path.iterdir() if file.is_file() and is_bag_file(file)), key=_part_order)
    files = [
        file for file in files if file.suffix.lower() not in _COMPRESSED_SUFFIXES or file.with_suffix("") not in files
    ]
    listed = _listed_files(path)
    if listed:
        found = [file for file in listed if file in files]
        if found:
            return found
    if len({_part_order(file)[0] for file in files}) > 1:
        names = ", ".join(file.name for file in files)
        raise BagError(f"has several bags and no {METADATA_NAME}: give one of {names}")
    return files


def _part_order(file: Path) -> tuple[str, int]:
    """The name of the recording that a file is a part of, and the part's number: name_3.mcap."""
    name = file.name[: file.name.lower().rindex(next(s for s in _STORAGE_SUFFIXES if s in file.name.lower()))]
    numbered = re.fullmatch(r"(.*)_([0-9]+)", name)
    return (numbered[1], int(numbered[2])) if numbered else (name, -1)


def _listed_files(folder: Path) -> list[Path]:
    """The files that a bag's metadata names, in the folder; empty where the metadata says nothing."""
    try:
        content = yaml.safe_load((folder / METADATA_NAME).read_text(encoding="utf-8", errors="replace"))
        names = content["rosbag2_bagfile_information"]["relative_file_paths"]
        files = [folder / PurePath(str(name)).name for name in names]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return []
    packed = {file: file.with_name(f"{file.name}.zstd") for file in files}  # as some releases list them
    return [packed[file] if packed[file].exists() and not file.exists() else file for file in files]


class Bag:
    """The messages of a recording. `close` it, or use it as a context manager. Raises BagError and OSError."""

    def __init__(self, path: Path) -> None:
        self._problems: list[str] = []
        self._storages: list[tuple[str, BagStorage]] = []
        self._unpacked: TemporaryDirectory[str] | None = None
        files = bag_files(path)
        failures = []
        for file in files:
            try:
                self._storages.append((file.name, self._opened(file)))
            except BagError as error:
                failures.append((file, error))
        if not self._storages:
            self.close()
            reason = str(failures[0][1]) if failures else f"its folder has no {' or '.join(_STORAGE_SUFFIXES)} file"
            raise BagError(reason)
        self._problems += [f"{file.name} left out: {error}" for file, error in failures]
        self._problems += [f"{file.name}, which {METADATA_NAME} names, is missing" for file in _missing(path)]

    @property
    def problems(self) -> list[str]:
        """What is wrong so far and leaves some of the messages readable, one sentence each."""
        return [*self._problems, *(f"{name} {text}" for name, storage in self._storages for text in storage.problems)]

    @property
    def counts(self) -> dict[Topic, int]:
        """The number of messages of every topic."""
        counts: dict[Topic, int] = {}
        for _, storage in self._storages:
            for topic, count in storage.counts.items():
                counts[topic] = counts.get(topic, 0) + count
        return counts

    def messages(self, topics: Collection[Topic]) -> Iterator[RecordedMessage]:
        """The messages of these topics, part by part, in the order of recording."""
        for name, storage in self._storages:
            for message in storage.messages(topics):
                if not message.data.startswith(ZSTD_MAGIC):  # no CDR message begins so
                    yield message
                    continue
                try:
                    yield RecordedMessage(message.topic, message.recorded_ns, decompressed(message.data, "zstd"))
                except DECOMPRESSION_FAILURES as error:
                    problem = f"{name} has messages that cannot be decompressed and are left out: {error}"
                    if problem not in self._problems:
                        self._problems.append(problem)

    def close(self) -> None:
        """Remove what was unpacked."""
        if self._unpacked is not None:
            self._unpacked.cleanup()
            self._unpacked = None

    def _opened(self, file: Path) -> BagStorage:
        """A file's storage, by the file's first bytes."""
        with file.open("rb") as stream:
            head = stream.read(16)
        if head.startswith((ZSTD_MAGIC, LZ4_MAGIC)):
            file = self._unpack(file, head)
            with file.open("rb") as stream:
                head = stream.read(16)
        if head.startswith(mcap.MAGIC):
            return McapFile(file)
        if head.startswith(sqlite.MAGIC):
            return SqliteFile(file)
        raise BagError("it is empty" if not head else "it is neither an MCAP file nor a SQLite database")

    def _unpack(self, file: Path, head: bytes) -> Path:
        """The path of what a compressed file has inside, in a folder for temporary files."""
        if self._unpacked is None:
            self._unpacked = TemporaryDirectory(prefix="slam3r_ros_bag_")
        target = Path(self._unpacked.name) / file.name
        try:
            unpack(file, target, head)
        except DECOMPRESSION_FAILURES as error:
            if not target.stat().st_size:
                raise BagError(f"it cannot be decompressed: {error}") from error
            self._problems.append(f"{file.name} breaks off inside its compression: what comes before is used ({error})")
        except OSError as error:
            raise BagError(
                f"there is no room to unpack it in {target.parent.parent} ({error.strerror or error}): set TMPDIR to a "
                "folder that has it, or unpack it yourself (zstd -d FILE)"
            ) from error
        return target


def _missing(path: Path) -> list[Path]:
    """The files that a bag's metadata names and that are not there, where others are."""
    listed = _listed_files(path) if path.is_dir() else []
    missing = [file for file in listed if not file.exists()]
    return missing if len(missing) < len(listed) else []

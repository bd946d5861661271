"""What can be wrong with a map file. Every message is a sentence that names the file and says what to do."""

from __future__ import annotations

from slam3r_ros.io.files import FileFormatError, OutputError


class MapFileError(FileFormatError):
    """The file cannot be read as a map file: it is something else, or of a newer version."""


class DamagedMapFileError(MapFileError):
    """Part of the file cannot be read; `salvage` saves the rest."""


class MapFileInUseError(OutputError):
    """Another process, or another part of this one, writes the file."""

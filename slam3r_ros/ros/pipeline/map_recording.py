"""The map file that the node writes while it maps, or is localized in, where the parameter map_file names one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slam3r_ros.engine.events import Update
from slam3r_ros.engine.slam import Slam
from slam3r_ros.io.files import OutputError
from slam3r_ros.io.save import MAP_FILE_SUFFIX, map_file_beside
from slam3r_ros.map_file.errors import MapFileError
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.map_file.loading import Loaded, read_map
from slam3r_ros.map_file.paths import checked_path
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.map_file.writer import MapFileWriter
from slam3r_ros.ros.throttled_log import ThrottledLog

_CHECKPOINT_LIMIT_S = 120.0
"""Longest time, in seconds, that saving waits until the map file is copied."""


@dataclass(frozen=True, slots=True, eq=False)
class MapChange:
    """A map file that was read, to be gone on in instead of what there is."""

    path: Path
    """The file."""
    loaded: Loaded
    """What it holds."""
    only_localizes: bool
    """Whether the camera is only localized in it."""
    writer: MapFileWriter | None
    """What writes the file; None where nothing is written."""


class MapRecording:
    """Gives the engine's events to the writer of the map file; does nothing where no file is named."""

    def __init__(self, path: str, facts: MapFacts, log: ThrottledLog, *, only_localizes: bool = False) -> None:
        """Lock the file, if ``path`` is not empty. With ``only_localizes`` nothing is written. Else a file that is
        there is gone on from, where the settings allow it and it has places to be localized by.

        Raises OutputError where the file cannot be written, MapFileError where it is no map file.
        """
        self._log, self._facts = log, facts
        self._scale = StoredScale()  # as the file has it
        self._loaded: Loaded | None = None  # the map in which the camera is only localized
        self._path, self._only_localizes = Path(path).expanduser(), only_localizes
        # Whether the map of a file was begun with, to be extended or to be localized in:
        self._goes_on = bool(path) and (only_localizes or (_can_localize(facts) and _has_places(self._path)))
        self._writer: MapFileWriter | None = None
        if path and not only_localizes:
            self._writer = MapFileWriter(self._path, facts, self._say, continues=self._goes_on)
        self.failure = ""
        """Why the file could not be completed, one sentence; empty where nothing failed."""

    def begin(self, slam: Slam) -> StoredScale:
        """Let the engine begin with the map of the file, if there is one; returns its scale. Raises MapFileError."""
        if self._goes_on:
            self._begin_in(slam, read_map(slam, self._facts, self._path, extends=not self._only_localizes))
        return self._scale

    @property
    def has_loaded_map(self) -> bool:
        """Whether the engine has begun with the map of a file."""
        return self._goes_on

    def read(self, slam: Slam, path: str, *, only_localizes: bool) -> MapChange:
        """Read the map file ``path``, where it is empty the one in use, for `change_to`;
        nothing changes but that the file in use has all that was mapped. Raises MapFileError and OutputError, which
        name the file."""
        target = checked_path(path) if path else self._file_in_use()
        if self._writer is not None:
            self._checkpoint(None)
        loaded = read_map(slam, self._facts, target, extends=not only_localizes)
        writer = None
        if not only_localizes:
            writer = self._writer if self._writes(target) else self._writer_of(target)
        return MapChange(target, loaded, only_localizes, writer)

    def change_to(self, slam: Slam, change: MapChange) -> StoredScale:
        """Complete the file in use and let the engine begin with another one, or the same; returns its scale."""
        if change.writer is not self._writer:
            self.close()
        elif self._writer is not None:
            self._writer.begin_session()
        self._writer, self._path, self._only_localizes = change.writer, change.path, change.only_localizes
        self._goes_on = True
        self._begin_in(slam, change.loaded)
        return self._scale

    def write(self, update: Update) -> None:
        """Take an event of the engine."""
        if self._writer is not None:
            self._writer.write(update)

    def note_scale(self, scale: StoredScale) -> None:
        """Write how long a scene unit is, where that has changed."""
        if self._writer is not None and scale.metres_per_unit != self._scale.metres_per_unit:
            self._scale = scale
            self._writer.set_scale(scale)

    def note_voxel_size(self, voxel_size: float) -> None:
        """Write the side of the map's voxels, where that has changed."""
        if self._writer is not None:
            self._writer.set_voxel_size(voxel_size)

    def start_anew(self, slam: Slam) -> StoredScale:
        """A new map begins: its first keyframe sets the file of the present one aside. Where the camera is only
        localized, it is looked for again, as the map was when it was loaded. Returns the scale of the map."""
        if self._loaded is not None:
            self._begin_in(slam, self._loaded)
            return self._scale
        self._goes_on, self._scale = False, StoredScale()
        if self._writer is not None:
            self._writer.start_anew()
            self._writer.set_scale(self._scale)
        return self._scale

    def save_beside(self, path: str) -> Path | None:
        """Write a copy of the map file beside the files that are saved to ``path``, or complete it where that is its
        place; None where no map file is written. Raises OutputError where it cannot be."""
        if self._writer is None:
            if path.lower().endswith(MAP_FILE_SUFFIX) and self._only_localizes:
                raise OutputError(f"cannot write '{path}': the camera is only localized, which makes no new map file")
            if path.lower().endswith(MAP_FILE_SUFFIX):
                raise OutputError(
                    f"cannot write '{path}': a map file needs the parameter map_file (map:= of the launch file) from "
                    "the start, since keyframes are kept in it alone"
                )
            return None
        return self._checkpoint(map_file_beside(path))

    def close(self) -> None:
        """Complete the file."""
        if self._writer is None:
            return
        try:
            written = self._writer.close()
        except OutputError as error:
            self.failure = f"map file not complete: {error}"
            self._log.error("map file", self.failure)
            return
        if written is not None:
            self._log.info(f"{written.keyframe_count} keyframes in {written.path}")

    def _begin_in(self, slam: Slam, loaded: Loaded) -> None:
        """Let the engine begin with a map, which is kept where that can happen again."""
        slam.load(loaded.map)
        self._loaded, self._scale = loaded if self._only_localizes else None, loaded.scale
        self._log.info(loaded.text)

    def _file_in_use(self) -> Path:
        """The map file that is written, or that the camera is localized in; raises MapFileError where there is none."""
        if self._writer is not None:
            return self._writer.path
        if not self._goes_on:
            raise MapFileError("no map file is in use: name one by its path")
        return checked_path(self._path)

    def _writes(self, path: Path) -> bool:
        """Whether a path leads to the file that is written."""
        return self._writer is not None and path.exists() and path.samefile(self._writer.path)

    def _writer_of(self, path: Path) -> MapFileWriter:
        return MapFileWriter(path, self._facts, self._say, continues=True)

    def _checkpoint(self, copy: Path | None) -> Path | None:
        """Have everything written, and into a copy, if one is named; None where nothing is mapped. Raises OutputError
        where it cannot be."""
        assert self._writer is not None
        try:
            written = self._writer.checkpoint(copy).result(_CHECKPOINT_LIMIT_S)
        except TimeoutError as error:
            raise OutputError(f"cannot write '{copy or self._writer.path}': the disk takes too long") from error
        return None if written is None else written.path

    def _say(self, text: str) -> None:
        self._log.warn("map file", text)


def _can_localize(facts: MapFacts) -> bool:
    """Whether the engine, by its settings, can be localized in a loaded map."""
    return bool(facts.settings.get("pose.tracks") == "on" and facts.settings.get("loops.close"))


def _has_places(path: Path) -> bool:
    """Whether there is a map file with places to be localized by; raises MapFileError where it is no map file."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with MapFile(path) as file:
        return bool(file.places(1)[0])

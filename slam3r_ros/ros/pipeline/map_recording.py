"""The map file that the node writes while it maps, or is localized in, where the parameter map_file names one."""

from __future__ import annotations

from pathlib import Path

from slam3r_ros.engine.events import Update
from slam3r_ros.engine.slam import Slam
from slam3r_ros.io.files import OutputError
from slam3r_ros.io.save import MAP_FILE_SUFFIX, map_file_beside
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.map_file.loading import load_map
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.map_file.writer import MapFileWriter
from slam3r_ros.ros.throttled_log import ThrottledLog

_CHECKPOINT_LIMIT_S = 120.0
"""Longest time, in seconds, that saving waits until the map file is copied."""


class MapRecording:
    """Gives the engine's events to the writer of the map file; does nothing where no file is named."""

    def __init__(self, path: str, facts: MapFacts, log: ThrottledLog, *, only_localizes: bool = False) -> None:
        """Lock the file, if ``path`` is not empty. With ``only_localizes`` nothing is written. Else a file that is
        there is gone on from, where the settings allow it and it has places to be localized by.

        Raises OutputError where the file cannot be written, MapFileError where it is no map file.
        """
        self._log, self._scale, self._facts = log, StoredScale(), facts
        self._path, self._only_localizes = Path(path).expanduser(), only_localizes
        self._goes_on = bool(path) and (only_localizes or (_can_localize(facts) and _has_places(self._path)))
        self._writer: MapFileWriter | None = None
        if path and not only_localizes:
            self._writer = MapFileWriter(self._path, facts, self._say, continues=self._goes_on)
        self.failure = ""
        """Why the file could not be completed, one sentence; empty where nothing failed."""

    def begin(self, slam: Slam) -> StoredScale:
        """Let the engine begin with the map of the file, if there is one; returns its scale. Raises MapFileError."""
        if not self._goes_on:
            return self._scale
        loaded = load_map(slam, self._facts, self._path, extends=not self._only_localizes)
        self._log.info(loaded.text)
        self._scale = loaded.scale
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

    def start_anew(self, slam: Slam) -> None:
        """A new map begins: its first keyframe sets the file of the present one aside. Where the camera is only
        localized, it is looked for again."""
        if self._only_localizes:
            self.begin(slam)
        elif self._writer is not None:
            self._goes_on = False
            self._scale = StoredScale()
            self._writer.start_anew()
            self._writer.set_scale(self._scale)

    def save_beside(self, path: str) -> Path | None:
        """Write a copy of the map file beside the files that are saved to ``path``, or complete it where that is its
        place; None where no map file is written. Raises OutputError where it cannot be."""
        if self._writer is None:
            if path.lower().endswith(MAP_FILE_SUFFIX):
                raise OutputError(
                    f"cannot write '{path}': a map file needs the parameter map_file (map:= of the launch file) from "
                    "the start, since keyframes are kept in it alone"
                )
            return None
        target = map_file_beside(path)
        try:
            written = self._writer.checkpoint(target).result(_CHECKPOINT_LIMIT_S)
        except TimeoutError as error:
            raise OutputError(f"cannot write '{target}': the disk takes too long") from error
        return None if written is None else written.path

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

"""The map file that the node writes while it maps, where the parameter map_file names one."""

from __future__ import annotations

from pathlib import Path

from slam3r_ros.engine.events import Update
from slam3r_ros.io.files import OutputError
from slam3r_ros.io.save import MAP_FILE_SUFFIX, map_file_beside
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.map_file.writer import MapFileWriter
from slam3r_ros.ros.throttled_log import ThrottledLog

_CHECKPOINT_LIMIT_S = 120.0
"""Longest time, in seconds, that saving waits until the map file is copied."""


class MapRecording:
    """Gives the engine's events to the writer of the map file; does nothing where no file is named."""

    def __init__(self, path: str, facts: MapFacts, log: ThrottledLog) -> None:
        """Lock the file, if ``path`` is not empty. Raises OutputError where it cannot be written."""
        self._log, self._scale = log, StoredScale()
        self._writer = MapFileWriter(Path(path), facts, self._say) if path else None
        self.failure = ""
        """Why the file could not be completed, one sentence; empty where nothing failed."""

    def write(self, update: Update) -> None:
        """Take an event of the engine."""
        if self._writer is not None:
            self._writer.write(update)

    def note_scale(self, scale: StoredScale) -> None:
        """Write how long a scene unit is, where that has changed."""
        if self._writer is not None and scale != self._scale:
            self._scale = scale
            self._writer.set_scale(scale)

    def start_anew(self) -> None:
        """A new map begins: its first keyframe sets the file of the present one aside."""
        if self._writer is not None:
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

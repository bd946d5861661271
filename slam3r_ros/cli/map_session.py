"""The map file that ``slam3r_ros run`` writes, or goes on from."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import TracebackType

from slam3r_ros.engine.events import Update
from slam3r_ros.engine.slam import Slam
from slam3r_ros.io.save import map_file_beside
from slam3r_ros.io.terminal import say
from slam3r_ros.map_file.facts import MapFacts, StoredScale
from slam3r_ros.map_file.loading import load_map
from slam3r_ros.map_file.open_file import WrittenMap
from slam3r_ros.map_file.writer import MapFileWriter
from slam3r_ros.setting_spec import SettingError


class MapSession:
    """Gives the engine's events to a new map file, to that of an earlier session, or to none."""

    def __init__(self, slam: Slam, writer: MapFileWriter | None, scale: StoredScale, *, replaces: bool) -> None:
        """``replaces``: whether the file takes the place of one that is there when it is complete."""
        self._slam, self._writer, self._replaces = slam, writer, replaces
        self.scale = scale
        """The scale of the map, where it is known."""

    @classmethod
    def begin(cls, slam: Slam, facts: MapFacts, arguments: argparse.Namespace) -> MapSession:
        """Lock the file that is written, and load the one that is gone on from. Raises SettingError, MapFileError and
        OutputError."""
        if arguments.localize and arguments.map is None:
            raise SettingError("--localize: expected the map file with --map FILE")
        if arguments.map is None:
            writer = MapFileWriter(map_file_beside(arguments.out), facts, _say_trouble)
            return cls(slam, writer, StoredScale(), replaces=True)
        path: Path = arguments.map.expanduser()
        extended = None if arguments.localize else MapFileWriter(path, facts, _say_trouble, continues=True)
        try:
            loaded = load_map(slam, facts, path, extends=not arguments.localize)
        except BaseException:
            if extended is not None:
                extended.close()
            raise
        say(loaded.text)
        return cls(slam, extended, loaded.scale, replaces=False)

    def __enter__(self) -> MapSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.__exit__(kind, error, traceback)

    def take(self, event: Update) -> None:
        """Write an event of the engine."""
        if self._writer is not None:
            if self._slam.is_localized:  # else it is that of another world
                self._writer.set_voxel_size(self._slam.status().voxel_size)
            self._writer.write(event)

    def finish(self) -> WrittenMap | None:
        """Complete the file that is written; None where there is none, or nothing in it."""
        return None if self._writer is None else self._writer.close(replaces=self._replaces)


def _say_trouble(text: str) -> None:
    say(f"slam3r_ros run: {text}", is_trouble=True)

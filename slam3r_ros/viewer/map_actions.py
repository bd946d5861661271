"""What the page's buttons do: done by the node's services, by a saved file, or by whoever shows the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from slam3r_ros.film.film import FilmOptions
from slam3r_ros.viewer.picking import Selection


class ActionError(Exception):
    """Something that a visitor asked for could not be done; the message is one sentence that says why."""


@dataclass(frozen=True, slots=True)
class FilmProgress:
    """How far a film is."""

    done: int
    """Pictures that are drawn."""
    total: int
    """Pictures that there will be."""


class MapActions(Protocol):
    """What visitors can do to the map. Each method returns one sentence on what was done, or raises ActionError."""

    @property
    def offered(self) -> frozenset[str]:
        """The names of the methods that can be used here; the page has no button for the others."""
        ...

    def pause(self, paused: bool) -> str:
        """Ignore images, or take them again."""
        ...

    def reset(self) -> str:
        """Forget the map and begin a new one."""
        ...

    def save(self, path: str) -> str:
        """Write the map to a path on the machine that makes it; empty: where its settings say."""
        ...

    def set_scale(self, metres_per_unit: float) -> str:
        """Say how many metres a scene unit has; from then on lengths are metres."""
        ...

    def remove_points(self, selection: Selection, inside: bool) -> str:
        """Remove the points inside or outside a selection from the map itself."""
        ...

    def undo_removal(self) -> str:
        """Bring back the points that were removed last."""
        ...

    @property
    def downloads(self) -> Mapping[str, str]:
        """The formats in which the map can be downloaded: what is in each, half a sentence, by its name."""
        ...

    def export(self, format_name: str, folder: Path) -> Path:
        """Write the map in a format into a folder; returns the file."""
        ...

    def film(self, options: FilmOptions, target: Path, on_progress: Callable[[FilmProgress], None]) -> Path:
        """Make a film of the map; returns the file. ``on_progress`` is called as it grows."""
        ...


class NoActions:
    """For a page that only shows."""

    offered: frozenset[str] = frozenset()
    downloads: Mapping[str, str] = MappingProxyType({})

    def pause(self, paused: bool) -> str:
        """Not offered."""
        raise ActionError("this page cannot pause anything")

    def reset(self) -> str:
        """Not offered."""
        raise ActionError("this page cannot begin a new map")

    def save(self, path: str) -> str:
        """Not offered."""
        raise ActionError("this page cannot save the map")

    def set_scale(self, metres_per_unit: float) -> str:
        """Not offered."""
        raise ActionError("this page cannot set the scale")

    def remove_points(self, selection: Selection, inside: bool) -> str:
        """Not offered."""
        raise ActionError("this page cannot change the map")

    def undo_removal(self) -> str:
        """Not offered."""
        raise ActionError("this page cannot change the map")

    def export(self, format_name: str, folder: Path) -> Path:
        """Not offered."""
        raise ActionError("this map cannot be downloaded")

    def film(self, options: FilmOptions, target: Path, on_progress: Callable[[FilmProgress], None]) -> Path:
        """Not offered."""
        raise ActionError("no film can be made of this map here")

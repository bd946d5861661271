"""Maps that are saved without being asked for: when the node ends, and before a jump of time ends a map."""

from __future__ import annotations

from collections.abc import Callable

from slam3r_ros.io.files import OutputError
from slam3r_ros.io.save import NothingMappedError, SavedMap, check_map_files, map_files
from slam3r_ros.ros.throttled_log import ThrottledLog

_KEPT_MAPS = 9
"""Number of maps ended by jumps of time that are kept, so that a recording that loops does not fill the disk."""

Save = Callable[[str], SavedMap]


class AutomaticSaving:
    """Saves to the path of the parameter save_on_exit, and nothing where it is empty."""

    def __init__(self, path: str, log: ThrottledLog) -> None:
        """Raises OutputError where the path cannot be written: known at the end only, it would cost the map."""
        if path:
            try:
                check_map_files(path)
            except OutputError as error:
                raise OutputError(f"save_on_exit: {error}") from error
        self.path = path
        """A file or a folder, or empty."""
        self._log = log
        self._ended_maps = 0
        self.failure = ""
        """Why the map could not be saved when the node ended, one sentence; empty where nothing failed."""

    def at_exit(self, save: Save) -> None:
        """Save the map of a node that ends."""
        if self.path:
            _, self.failure = self._save(save, self.path)

    def before_jump(self, save: Save) -> None:
        """Save a map that a jump of time ends as NAME-1 beside the path, the next one as NAME-2 and so on; the tenth
        takes the place of the first."""
        if not self.path:
            return
        try:
            map_path, _ = map_files(self.path)
        except OutputError as error:
            self._log.error("save", f"map not saved: {error}")
            return
        number = self._ended_maps % _KEPT_MAPS + 1
        is_saved, _ = self._save(save, str(map_path.with_name(f"{map_path.stem}-{number}{map_path.suffix}")))
        self._ended_maps += is_saved

    def _save(self, save: Save, path: str) -> tuple[bool, str]:
        """Save to a path, and log it; returns whether there is a file now, and else why not, in one sentence, where
        something is mapped."""
        try:
            saved = save(path)
        except NothingMappedError as error:
            self._log.info(str(error))
            return False, ""
        except OutputError as error:
            self._log.error("save", f"map not saved: {error}")
            return False, f"map not saved: {error}"
        self._log.info(f"saved {saved.point_count} points to {saved.map_path}")
        return True, ""

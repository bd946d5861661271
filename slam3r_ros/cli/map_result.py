"""The map file of a result, as commands take it: a file ``NAME.slam3r``, or a folder that holds one."""

from __future__ import annotations

from pathlib import Path

from slam3r_ros.io.files import FileFormatError
from slam3r_ros.io.save import MAP_FILE_SUFFIX


def map_file_in(path: Path) -> Path:
    """The map file that a path names: itself, or the only one in a folder. Raises FileFormatError."""
    if not path.is_dir():
        if not path.exists():
            raise FileFormatError(f"there is no '{path}'")
        return path
    found = sorted(path.glob(f"*{MAP_FILE_SUFFIX}"))
    if len(found) != 1:
        names = ", ".join(each.name for each in found) or "none"
        raise FileFormatError(f"'{path}': expected one map file NAME{MAP_FILE_SUFFIX} in the folder, found {names}")
    return found[0]

"""Names of map files."""

from __future__ import annotations

from pathlib import Path

from slam3r_ros.io.files import OutputError
from slam3r_ros.io.save import MAP_FILE_SUFFIX


def checked_path(path: str | Path) -> Path:
    """The absolute path of a map file; raises OutputError for a name that is none."""
    try:
        target = Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise OutputError(f"cannot write '{path}': {error}") from error
    if target.suffix.lower() != MAP_FILE_SUFFIX:
        raise OutputError(f"cannot write '{path}': the name of a map file ends with {MAP_FILE_SUFFIX}")
    if target.is_dir():
        raise OutputError(f"cannot write '{path}': it is a folder")
    return target


def free_name(path: Path) -> Path:
    """The path itself, or ``NAME.1.slam3r``, ``NAME.2.slam3r`` ... : the first that is not there."""
    candidate, number = path, 0
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}.{number}{path.suffix}")
    return candidate

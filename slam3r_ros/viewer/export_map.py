"""A map file as files to take away."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from slam3r_ros.export.formats import FORMATS, export
from slam3r_ros.io.files import FileFormatError, OutputError
from slam3r_ros.io.save import NothingMappedError
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.viewer.map_actions import ActionError

_MAP_FILE = "slam3r"
"""What the map file itself is called among the formats."""
EXPORTS: Mapping[str, str] = MappingProxyType({name: each.content for name, each in FORMATS.items()})
"""The formats of other programs in which a map can be downloaded, and what is in each."""
DOWNLOADS: Mapping[str, str] = MappingProxyType({**EXPORTS, _MAP_FILE: "the map file itself, for slam3r_ros view"})
"""The formats in which a saved map can be downloaded, and what is in each."""


def export_map(path: Path, format_name: str, folder: Path) -> Path:
    """Write a map file in one of `DOWNLOADS` into a folder; COLMAP's folder as a ZIP file. Raises ActionError."""
    if format_name == _MAP_FILE:
        return path
    chosen = FORMATS[format_name]
    target = folder / f"{path.stem}{chosen.suffix or '-' + format_name}"
    try:
        with MapFile(path) as file:
            export(file.reconstruction(), format_name, target)
        if not target.is_dir():
            return target
        archive = Path(shutil.make_archive(str(target), "zip", target))
        shutil.rmtree(target)
    except (FileFormatError, OutputError, NothingMappedError) as error:
        raise ActionError(str(error)) from error
    except OSError as error:
        raise ActionError(f"{target.name} cannot be written: {error.strerror or error}") from error
    return archive

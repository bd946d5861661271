"""Which layout a folder has."""

from __future__ import annotations

import re
from pathlib import Path

from slam3r_lab.sequences.readers.folder import FolderLayout
from slam3r_lab.sequences.readers.layout import Layout, number_of
from slam3r_lab.sequences.readers.replica import ReplicaLayout
from slam3r_lab.sequences.readers.seven_scenes import SevenScenesLayout
from slam3r_lab.sequences.readers.tum_rgbd import TumLayout
from slam3r_lab.sequences.sequence import ImageSequence, SequenceError

LAYOUTS: tuple[Layout, ...] = (TumLayout(), SevenScenesLayout(), ReplicaLayout(), FolderLayout())
"""In the order in which they are tried: a folder of images fits last."""
_TEST_SPLIT = "TestSplit.txt"


def open_sequence(path: str | Path, layout: str | None = None) -> ImageSequence:
    """Read the sequence in the folder ``path``, of the layout named or of the one its files show.

    Raises SequenceError when there is no such folder or no images in it; what else is missing or wrong is in the
    sequence's `problems`.
    """
    folder = Path(path).expanduser()
    if not folder.exists():
        raise SequenceError(f"sequence '{path}' does not exist (looked for {folder.absolute()})")
    if not folder.is_dir():
        raise SequenceError(f"sequence '{path}' is a file: give the folder of a sequence; layouts known: {_known()}")
    if layout is not None:
        chosen = next((each for each in LAYOUTS if each.name == layout), None)
        if chosen is None:
            raise SequenceError(f"layout '{layout}' is unknown; known: {', '.join(each.name for each in LAYOUTS)}")
        return chosen.read(folder)
    for each in LAYOUTS:
        if each.fits(folder):
            return each.read(folder)
    what = "is empty" if next(folder.iterdir(), None) is None else "has none of the layouts known"
    raise SequenceError(f"sequence '{path}' {what}; layouts known: {_known()}")


def sequence_folders(path: str | Path) -> list[Path]:
    """The folders to open for ``path``: itself, or the sequences of a 7-Scenes scene, those of its test split."""
    folder = Path(path).expanduser()
    inner = sorted(each for each in folder.glob("seq-*") if each.is_dir() and SevenScenesLayout().fits(each))
    if not inner:
        return [folder]
    split = folder / _TEST_SPLIT
    if not split.is_file():
        return inner
    numbers = {int(digits) for digits in re.findall(r"[0-9]+", split.read_text())}  # "sequence1" names seq-01
    return [each for each in inner if number_of(each) in numbers] or inner


def _known() -> str:
    return "; ".join(f"{each.name} ({each.files})" for each in LAYOUTS)

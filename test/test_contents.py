"""The tables of contents in the folders' `__init__.py`: they name every file of their folder, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = [ROOT / "slam3r_ros", ROOT / "slam3r_lab"]

_ENTRY = re.compile(r"^- `+([a-z0-9_]+)`+:", re.MULTILINE)
"""An entry of a table of contents: a line that begins with the name of a file or a folder."""
_NAMES = re.compile(r"[a-z0-9_]+")
"""A word of a docstring that may be the name of a file."""


def folders() -> list[Path]:
    """Return every folder of the packages that is a Python package, but for slam3r_ros itself."""
    found = [init.parent for package in PACKAGES for init in sorted(package.rglob("__init__.py"))]
    return [folder for folder in found if folder != ROOT / "slam3r_ros"]  # a build may replace its __init__.py


def contents(folder: Path) -> set[str]:
    """Return the names of the modules and packages in a folder, without those that begin with an underscore."""
    modules = {path.stem for path in folder.glob("*.py")}
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    return {name for name in modules | packages if not name.startswith("_")}


def table_of(folder: Path) -> str:
    """Return the docstring of a folder's `__init__.py`."""
    return ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""


def mistakes(folder: Path) -> Iterator[str]:
    """Yield one sentence for each file that the table leaves out, and for each entry without a file."""
    table, present = table_of(folder), contents(folder)
    yield from (f"{folder.name}: '{name}' is not in the table" for name in present - set(_NAMES.findall(table)))
    yield from (f"{folder.name}: there is no '{name}'" for name in set(_ENTRY.findall(table)) - present)


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_folders_table_of_contents_is_that_of_its_files(folder: Path) -> None:
    assert sorted(mistakes(folder)) == []


def test_the_check_itself(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("encoder.py", "window.py", "sub/__init__.py", "__main__.py"):
        (tmp_path / name).touch()
    (tmp_path / "__init__.py").write_text('"""Stages.\n\n- ``encoder``: images to tokens.\n- `retrieval`: gone.\n"""\n')
    assert [each.partition(": ")[2] for each in sorted(mistakes(tmp_path))] == [
        "'sub' is not in the table",
        "'window' is not in the table",
        "there is no 'retrieval'",
    ]
    (tmp_path / "__init__.py").write_text(
        '"""The way of a frame: `window` -> `encoder`.\n\n- ``sub``: more of it.\n"""\n'
    )
    assert list(mistakes(tmp_path)) == []

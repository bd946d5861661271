"""Where files can be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from slam3r_ros.io import files
from slam3r_ros.io.files import OutputError, make_writable


def test_folders_are_made_and_nothing_is_left_in_them(tmp_path: Path) -> None:
    make_writable(tmp_path / "a" / "b")
    make_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_folder_that_may_not_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=f"cannot make the folder '{tmp_path}/file/a': Not a directory"):
        make_writable(tmp_path / "file" / "a")

    def refuse(dir: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    with pytest.raises(OutputError, match=f"cannot write into the folder '{tmp_path}': Read-only file system"):
        make_writable(tmp_path)

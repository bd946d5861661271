"""The folder of one visitor's files: limits hold before a byte is written, and half files go."""

from __future__ import annotations

from pathlib import Path

import pytest

from slam3r_ros.app.limits import AppTuning, UploadError, UploadLimits
from slam3r_ros.app.upload_folder import UploadFolder


def folder_of(path: Path, total_bytes: int = 100, files: int = 3) -> UploadFolder:
    return UploadFolder(path / "uploads", UploadLimits(total_bytes=total_bytes, files=files))


def put(folder: UploadFolder, name: str, content: bytes) -> Path:
    with folder.receive(name, len(content)) as file:
        file.write(content)
        return file.complete()


def test_complete_files_are_there_and_nothing_else(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    with folder.receive("../a.png", 6) as file:
        file.write(b"123")
        assert [path.name for path in folder.path.iterdir()] == [".a.png.half"]
        file.write(b"456")
        path = file.complete()
    assert path == folder.path / "a.png" and path.read_bytes() == b"123456"
    assert (folder.names, folder.total_bytes) == (("a.png",), 6)
    assert put(folder, "A.png", b"7").name == "A_2.png"
    assert sorted(path.name for path in folder.path.iterdir()) == ["A_2.png", "a.png"]


def test_what_does_not_fit_is_refused_before_it_comes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    put(folder, "a.png", b"x" * 60)
    with folder.receive("b.png", 30), pytest.raises(UploadError, match=r"^'c.png' of 0.1 MiB is too large: at most"):
        folder.receive("c.png", 11)
    put(folder, "c.png", b"x" * 40)
    with pytest.raises(UploadError, match="^'d.png' is empty: it has no bytes$"):
        folder.receive("d.png", 0)


def test_the_number_of_files_is_bounded_those_in_work_included(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, files=2)
    put(folder, "a.png", b"x")
    with folder.receive("b.png", 1), pytest.raises(UploadError, match="at most 2 files"):
        folder.receive("c.png", 1)


def test_a_full_disk_is_noticed_before(tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path, UploadLimits(), AppTuning(free_bytes=1 << 60))
    with pytest.raises(UploadError, match="'a.png' of 0.1 MiB is too large: the disk has .* MiB left"):
        folder.receive("a.png", 1)


def test_half_and_too_long_files_are_removed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    with folder.receive("a.png", 5) as file:
        file.write(b"12")
        with pytest.raises(UploadError, match="breaks off after 2 of 5 bytes"):
            file.complete()
    with folder.receive("a.png", 2) as file, pytest.raises(UploadError, match="more than the 2 bytes"):
        file.write(b"123")
    with folder.receive("b.png", 5) as file:  # the connection was lost
        file.write(b"12")
    assert list(folder.path.iterdir()) == [] and folder.total_bytes == 0
    put(folder, "c.png", b"x" * 100)  # what was announced for the others is free again


def test_clear_removes_all(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    put(folder, "a.png", b"x" * 100)
    folder.clear()
    assert list(folder.path.iterdir()) == [] and folder.names == ()
    put(folder, "a.png", b"x" * 100)

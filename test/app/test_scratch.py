"""The scratch folder goes with its process, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slam3r_ros.app.scratch import ScratchFolder
from slam3r_ros.io.files import OutputError

PROGRAM = """
import sys, time
from pathlib import Path
from slam3r_ros.app.scratch import ScratchFolder
folder = ScratchFolder(Path(sys.argv[1]))
(folder.folder("visitor") / "video.mp4").write_bytes(b"x")
print(folder.path, flush=True)
time.sleep(60)
"""


def test_it_is_private_and_removed(tmp_path: Path) -> None:
    scratch = ScratchFolder(tmp_path / "new")
    assert scratch.path.stat().st_mode & 0o777 == 0o700 and scratch.folder("a").stat().st_mode & 0o777 == 0o700
    (scratch.folder("a") / "file").write_bytes(b"x")
    other = ScratchFolder(tmp_path / "new")
    assert scratch.folder("a").is_dir() and other.path != scratch.path
    scratch.close()
    assert list((tmp_path / "new").iterdir()) == [other.path]
    other.close()


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        ScratchFolder(tmp_path).close()
        assert (left / "visitor" / "video.mp4").is_file()  # the other process is alive
        os.kill(process.pid, signal.SIGKILL)
    assert left.is_dir()
    (tmp_path / "slam3r_app_of_somebody").mkdir()  # without a lock: not ours
    ScratchFolder(tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == ["slam3r_app_of_somebody"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot make the folder"):
        ScratchFolder(tmp_path / "file")

"""`slam3r_lab render`: what it refuses before it renders."""

from __future__ import annotations

from pathlib import Path

import pytest

from slam3r_lab.commands import main as cli
from slam3r_lab.training import sequence_files


@pytest.mark.parametrize("part", ["rgb", "depth"])
def test_a_video_is_not_mixed_with_one_that_is_there(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sequence_files, "render_sequence", lambda *_, **__: iter(()))
    words = ["render", "--frames", "3", "--size", "64x48", "--device", "cpu", "--out", str(tmp_path)]
    assert cli.main(words) == 0
    (tmp_path / part / "000005.jpg").write_bytes(b"of yesterday")
    monkeypatch.setattr(sequence_files, "write_sequence", lambda *_: pytest.fail("rendered"))
    assert cli.main(words) == 2
    assert f"render: {tmp_path} already holds a video" in capsys.readouterr().err
    assert (tmp_path / part / "000005.jpg").read_bytes() == b"of yesterday"

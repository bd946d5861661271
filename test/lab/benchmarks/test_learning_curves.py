"""Learning curves from the logs of runs."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from slam3r_lab.benchmarks.learning_curves import FOLDER, draw, read_curves


def test_curves_are_read_by_family_where_there_are_several(tmp_path: Path) -> None:
    (tmp_path / "plain-l2w.csv").write_text("step,samples,point_error\n1,10,0.5\n2,20,0.25\n")
    header = "step,samples,point_error,point_error_rooms,point_error_wide\n"
    (tmp_path / "two-part-i2p.csv").write_text(header + "1,10,0.3,,0.5\n2,30.0,0.2,0.1,0.3\n")
    plain, rooms, wide = read_curves(tmp_path)
    assert (plain.run, plain.stage, plain.label) == ("plain", "l2w", "plain")
    assert plain.samples == (10, 20) and plain.values == (0.5, 0.25)
    assert (rooms.stage, rooms.label, rooms.samples, rooms.values) == ("i2p", "two-part, rooms", (30,), (0.1,))
    assert wide.values == (0.5, 0.3)
    draw([plain, rooms, wide], tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 5


def test_the_logs_that_are_kept_are_readable() -> None:
    curves = read_curves(FOLDER)
    assert {curve.stage for curve in curves} >= {"i2p", "l2w"}
    assert all(curve.samples == tuple(sorted(curve.samples)) and 0 < min(curve.values) < 1 for curve in curves)

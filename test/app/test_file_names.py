"""Names of uploaded files stay in their folder, whatever a browser sends."""

from __future__ import annotations

from pathlib import Path

import pytest

from slam3r_ros.app.file_names import safe_name, unused_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("room.mp4", "room.mp4"),
        ("Küche 2 (neu).MOV", "Küche 2 (neu).MOV"),
        ("会议室.mp4", "会议室.mp4"),
        ("../../etc/passwd", "passwd"),
        ("/etc/shadow", "shadow"),
        ("..\\..\\windows\\system.ini", "system.ini"),
        ("C:\\video.mp4", "video.mp4"),
        ("..", "file"),
        (".", "file"),
        ("", "file"),
        ("/", "file"),
        (".bashrc", "bashrc"),
        ("...hidden.png", "hidden.png"),
        ("-rf.png", "rf.png"),
        ("a\x00b\n.png", "a_b_.png"),
        ("\u202egnp.exe", "gnp.exe"),
        ("a\u2044b.png", "a_b.png"),
        ("\uff0e\uff0e\uff0fx.png", "x.png"),
        ("con.png", "file_con.png"),
        ("LPT1", "file_LPT1"),
        ("nul.tar.gz", "file_nul.tar.gz"),
        ("image.png. . .", "image.png"),
        ("a:b|c*?.png", "a_b_c__.png"),
        ("$(reboot);`ls`.mp4", "(reboot)__ls_.mp4"),
    ],
)
def test_a_safe_name_is_like_the_name_and_leads_nowhere_else(name: str, safe: str, tmp_path: Path) -> None:
    assert safe_name(name) == safe
    path = tmp_path / safe
    path.write_bytes(b"x")
    assert path.resolve().parent == tmp_path.resolve() and not safe.startswith(".")
    assert safe_name(safe) == safe


def test_a_long_name_keeps_its_suffix_and_fits_into_a_file_system(tmp_path: Path) -> None:
    for character in ("a", "会", "😀", "́"):
        safe = safe_name(character * 300 + ".png")
        (tmp_path / f".{unused_name(safe, [safe])}.half").write_bytes(b"x")
        assert safe.endswith(".png")


def test_a_name_that_is_taken_gets_a_number_in_any_case() -> None:
    assert unused_name("a.png", ["b.png"]) == "a.png"
    assert unused_name("a.png", ["A.PNG", "a_2.png"]) == "a_3.png"

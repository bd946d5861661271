"""The progress line: what it says, on a terminal and in a log."""

from __future__ import annotations

import io

import pytest

from slam3r_ros.cli.progress import Progress


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_in_a_log_only_the_last_state_is_written() -> None:
    log = io.StringIO()
    with Progress("mapping", 4, "frame", interval_s=0.0, out=log) as progress:
        for number in range(1, 4):
            progress.update(number, f"{number} points")
    (line,) = log.getvalue().splitlines()
    assert line.startswith("mapping:  75% [##################......] 3 of 4 frames, ")
    assert line.endswith(" frames/s, 3 points")


def test_on_a_terminal_the_line_is_written_anew() -> None:
    terminal = Terminal()
    with Progress("mapping", None, "frame", interval_s=0.0, out=terminal) as progress:
        progress.update(1, "a long note about the first frame")
        progress.update(2)
    states = [part for part in terminal.getvalue().split("\r") if part.strip()]
    assert [state.split(",")[0].strip() for state in states] == [
        "mapping: 0 frames",
        "mapping: 1 frames",
        "mapping: 2 frames",
        "mapping: 2 frames",
    ]
    assert "note" not in states[-1]


def test_a_line_is_not_written_more_often_than_asked_for() -> None:
    terminal = Terminal()
    with Progress("mapping", 100, "frame", interval_s=60.0, out=terminal) as progress:
        for number in range(100):
            progress.update(number)
    assert terminal.getvalue().count("mapping") == 2


def test_a_message_stands_on_a_line_of_its_own() -> None:
    terminal = Terminal()
    with Progress("mapping", 10, "frame", interval_s=0.0, out=terminal) as progress:
        progress.message("interrupted")
    lines = terminal.getvalue().split("\n")
    assert lines[0].split("\r")[-1] == "interrupted"
    assert lines[1].startswith("\rmapping") or lines[1].startswith("mapping")


@pytest.mark.parametrize("total", [None, 0])
def test_without_a_total_there_is_no_bar(total: int | None) -> None:
    assert "[" not in Progress("mapping", total, "frame", out=io.StringIO()).text()

"""The table of accuracy: which sequences, which rows, and what the document says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from wall_sequence import write_folder

from slam3r_lab.benchmarks.accuracy import Group, Task, all_weights, document, measure, protocol_for
from slam3r_lab.benchmarks.accuracy_sequences import FIRST_SEED, SEQUENCES, renderer_version
from slam3r_lab.benchmarks.report import public_words
from slam3r_lab.sequences.readers import open_sequence
from slam3r_lab.training.seeds import FIRST_DEMO_SEED, is_held_out
from slam3r_ros.setting_spec import RECOMMENDED


def test_twelve_sequences_that_nothing_else_uses() -> None:
    seeds = [sequence.seed for sequence in SEQUENCES]
    assert len(set(seeds)) == 12
    assert all(is_held_out(seed) and seed >= FIRST_SEED > FIRST_DEMO_SEED for seed in seeds)
    difficulties = [sequence.difficulty for sequence in SEQUENCES]
    assert [difficulties.count(each) for each in ("easy", "medium", "hard")] == [4, 4, 4]
    assert renderer_version() == renderer_version()


def test_rows_are_weights_oracles_and_baselines() -> None:
    rows = all_weights()
    assert "embedded" in rows and "oracle:exact" in rows and "baseline:identity" in rows
    assert not any(row.startswith("/") for row in rows)


def test_windows_are_as_long_in_time_as_at_30_hz(tmp_path: Path) -> None:
    sequence = open_sequence(write_folder(tmp_path, 3))  # 10 images a second
    slow, fast = (replace(sequence, rate_hz=rate) for rate in (10.0, 30.0))
    recommended = protocol_for("embedded", fast).settings().window.stride
    assert recommended is RECOMMENDED
    assert 1 <= protocol_for("embedded", slow).settings().window.stride <= 2
    strides = [protocol_for("embedded", replace(slow, rate_hz=rate)).settings().window.stride for rate in (15, 14.9999)]
    assert strides[0] == strides[1]


def test_document_has_a_row_a_group_and_a_row_a_sequence(tmp_path: Path) -> None:
    sequences = tuple(open_sequence(write_folder(tmp_path / name, 8)) for name in ("one", "two"))
    task = Task("baseline:identity", Group("walls", sequences, True), 1)
    text = document([(task, measure(task))], "Just a test.")
    assert "| baseline:identity: walls | 8 |" in text
    assert "| baseline:identity: one | 8 |" in text and "| baseline:identity: two | 8 |" in text
    assert "windows as long in time as at 30 Hz. Just a test.\n" in text
    assert str(tmp_path) not in text


def test_command_line_names_no_path_of_the_machine(tmp_path: Path) -> None:
    assert public_words(["--sequences", str(tmp_path), "--frames", "9"]) == [
        "--sequences",
        tmp_path.name,
        "--frames",
        "9",
    ]

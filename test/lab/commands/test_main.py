"""The command line of the lab: every command and every benchmark is there."""

from __future__ import annotations

import pytest

from slam3r_lab.benchmarks.run import PARTS
from slam3r_lab.commands import main as lab


def test_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in lab.COMMAND_LINE.commands)


def test_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.main(["fly"]) == 2
    assert "slam3r_lab: unknown command 'fly'; known: render, train, evaluate, parity" in capsys.readouterr().err


@pytest.mark.parametrize("name", lab.COMMAND_LINE.commands)
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        lab.main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: slam3r_lab {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", lab.BENCHMARKS.commands)
def test_help_of_every_benchmark_with_options_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        lab.main(["bench", name, "--help"])
    assert ended.value.code == 0
    assert f"usage: slam3r_lab bench {name}" in capsys.readouterr().out


def test_help_of_bench_names_every_part_and_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        lab.main(["bench", "--help"])
    shown = capsys.readouterr().out
    assert all(f"``{name}``" in shown for name in [*PARTS, *lab.BENCHMARKS.commands])
    assert not set(PARTS) & set(lab.BENCHMARKS.commands)


def test_unknown_part_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        lab.main(["bench", "topic", "tpoic"])
    assert ended.value.code == 2
    assert "unknown part 'tpoic'; choose of topic, embedded" in capsys.readouterr().err

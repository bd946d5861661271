import shutil
from pathlib import Path

import numpy as np
import pytest

from slam3r_lab.commands import main as cli
from slam3r_lab.evaluation.parity import ParityError, Row, compare


@pytest.fixture
def networks(golden: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(golden / "networks", tmp_path / "networks"))


def test_a_wrong_number_fails(networks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["parity", str(networks)]) == 0
    with np.load(networks / "expected.npz") as file:
        numbers = dict(file)
    numbers["l2w_points"] = numbers["l2w_points"] * 1.001
    np.savez(networks / "expected.npz", **numbers)
    assert cli.main(["parity", str(networks)]) == 1
    assert "l2w points" in next(line for line in capsys.readouterr().out.splitlines() if "FAILED" in line)


def test_a_directory_without_golden_numbers(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="holds no networks"):
        list(compare(tmp_path))
    assert cli.main(["parity", str(tmp_path / "absent")]) == 2


def test_a_sequence_without_its_networks_says_where_they_should_be(golden: Path, tmp_path: Path) -> None:
    shutil.copytree(golden / "sequence_stride2", tmp_path / "sequence")
    with pytest.raises(ParityError, match=f"expected its networks in {tmp_path / 'networks'}"):
        list(compare(tmp_path / "sequence"))


def test_what_is_not_a_number_fails() -> None:
    assert not Row("x", float("nan"), 1.0).passed
    assert not Row("x", float("inf"), 1.0).passed

from pathlib import Path

import pytest

from slam3r_lab.evaluation.parity import compare


@pytest.mark.parametrize("folder", ["networks", "preprocess"])
def test_calls_agree_with_the_published_implementation(golden: Path, folder: str) -> None:
    rows = list(compare(golden / folder))
    assert len(rows) >= 5
    assert [row for row in rows if not row.passed] == []


def test_both_published_state_dicts_fit(golden: Path, tmp_path: Path) -> None:
    name = "published_state_dict_shapes.json"
    (tmp_path / name).write_text((golden / name).read_text())
    rows = list(compare(tmp_path))
    assert [row.value for row in rows] == [0, 0]

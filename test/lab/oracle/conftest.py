"""Two short sequences with depth and poses: a rendered one, and a real one with holes in its depth."""

from __future__ import annotations

from pathlib import Path

import pytest

from slam3r_lab.sequences.readers import open_sequence
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_lab.worlds.paths.choose import PathSettings
from slam3r_lab.worlds.sequence_files import render_sequence, write_sequence

EXCERPT = Path(__file__).parents[2] / "data" / "hololens_excerpt"
SEED = 20_003


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> ImageSequence:
    """45 images of 128 x 96 pixels, 15 a second."""
    folder = tmp_path_factory.mktemp("rendered")
    write_sequence(render_sequence(SEED, PathSettings(45, 15.0), (128, 96)), 15.0, folder)
    return open_sequence(folder)


@pytest.fixture(scope="session")
def real() -> ImageSequence:
    """24 images of a walk with a HoloLens."""
    return open_sequence(EXCERPT)

"""The twelve rendered sequences of ``make accuracy``: worlds that no training touches, rendered once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slam3r_lab import worlds
from slam3r_lab.benchmarks.machine import BENCHMARKS
from slam3r_lab.training.seeds import is_held_out
from slam3r_lab.worlds.family import family_of
from slam3r_lab.worlds.paths.choose import PathSettings
from slam3r_lab.worlds.sequence_files import render_sequence, write_sequence

CACHE = BENCHMARKS / "cache"
FIRST_SEED = 30_000
"""Seeds from here on belong to this benchmark: no training, no validation, no demo."""
FRAMES, RATE_HZ, SIZE = 90, 15.0, (320, 240)
_DONE = "complete"


@dataclass(frozen=True, slots=True)
class RenderedSequence:
    """One of them."""

    difficulty: str
    """easy, medium or hard."""
    family: str
    """Of worlds."""
    seed: int

    @property
    def name(self) -> str:
        """As in the table."""
        return f"{self.difficulty}-{self.seed}"


SEQUENCES = (
    *(RenderedSequence("easy", "narrow", FIRST_SEED + number) for number in (0, 1, 2, 3)),
    *(RenderedSequence("medium", "rooms", FIRST_SEED + number) for number in (10, 11, 12, 13)),
    *(RenderedSequence("hard", "wide", FIRST_SEED + number) for number in (20, 21, 22, 23)),
)
"""Easy: plain rooms with boxes, a hand-held camera. Medium: furnished rooms, mild effects of the camera (noise, blur,
exposure). Hard: all places and motions, wide angles, strong effects."""


DIFFICULTIES = ("easy", "medium", "hard")


def rendered_sequences(difficulty: str) -> Iterator[tuple[RenderedSequence, Path]]:
    """Each sequence of that difficulty and its folder, rendered where that has not been done by this renderer."""
    for sequence in (each for each in SEQUENCES if each.difficulty == difficulty):
        assert is_held_out(sequence.seed) and sequence.seed >= FIRST_SEED
        folder = CACHE / renderer_version() / sequence.name
        if not (folder / _DONE).exists():
            frames = render_sequence(sequence.seed, PathSettings(FRAMES, RATE_HZ), SIZE, family_of(sequence.family))
            write_sequence(frames, RATE_HZ, folder)
            (folder / _DONE).touch()
        yield sequence, folder


def renderer_version() -> str:
    """Of what the images depend on: another renderer makes other sequences, which are then measured anew."""
    total = hashlib.sha256()
    folder = Path(next(iter(worlds.__path__)))
    for path in sorted(folder.rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()[:8]

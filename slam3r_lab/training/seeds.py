"""Which room seeds belong to which use, in one place, so that no room is both trained on and measured on."""

from __future__ import annotations

TRAINING_SEEDS = range(10_000)
VALIDATION_SEEDS = range(10_000, 11_000)
FIRST_DEMO_SEED = 20_000


def is_held_out(seed: int) -> bool:
    """True when rooms of this seed are never used in training (validation, demo and test seeds)."""
    return seed not in TRAINING_SEEDS

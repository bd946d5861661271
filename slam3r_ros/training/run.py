"""One stage of training from rendered rooms to exported weights."""

from __future__ import annotations

from pathlib import Path

from .dataset_files import load_rooms, render_rooms
from .embedded_config import EMBEDDED_I2P
from .i2p_stage import ImageToPointsStage
from .seeds import TRAINING_SEEDS, VALIDATION_SEEDS
from .trainer import Stage, Trainer, TrainingSettings

VALIDATION_ROOMS = 16
LEARNING_RATES = {"i2p": 1e-3}


def render_data(directory: Path, rooms: int, processes: int) -> int:
    """Render the validation rooms and the first `rooms` training rooms; returns how many rooms have frames."""
    seeds = [*VALIDATION_SEEDS[:VALIDATION_ROOMS], *TRAINING_SEEDS[:rooms]]
    return render_rooms(directory, seeds, EMBEDDED_I2P.image_size[0], processes)


def make_stage(name: str, data: Path, out: Path, rooms: int) -> Stage:
    """The stage of this name; correlation and l2w start from the export of i2p in `out`."""
    training = load_rooms(data, TRAINING_SEEDS[:rooms])
    validation = load_rooms(data, VALIDATION_SEEDS[:VALIDATION_ROOMS])
    print(f"{name}: {len(training)} training rooms, {len(validation)} validation rooms", flush=True)
    return ImageToPointsStage(training, validation)


def train_stage(
    name: str, data: Path, out: Path, minutes: float, rooms: int, learning_rate: float | None = None
) -> None:
    """Train one stage in `out`/`name`, from its checkpoint if there is one."""
    settings = TrainingSettings(minutes=minutes, learning_rate=learning_rate or LEARNING_RATES[name])
    Trainer(make_stage(name, data, out, rooms), out / name, settings).run()

"""One stage of training from rendered rooms to exported weights."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from slam3r_ros.networks.image_to_points import ImageToPoints
from slam3r_ros.networks.weights import WeightsError, load_network

from .correlation_stage import CorrelationStage
from .dataset_files import RenderedRooms, load_rooms, render_rooms
from .embedded_config import EMBEDDED_I2P
from .i2p_stage import ImageToPointsStage
from .l2w_stage import LocalToWorldStage
from .seeds import TRAINING_SEEDS, VALIDATION_SEEDS
from .token_cache import load_or_build, weights_digest
from .trainer import Stage, Trainer, TrainingSettings
from .workers import Workers, run_workers

VALIDATION_ROOMS = 16
SHARES_OF_TIME = {"i2p": 0.57, "correlation": 0.06, "l2w": 0.37}
LEARNING_RATES = {"i2p": 1e-3, "correlation": 1e-3, "l2w": 1e-3}
POINT_CONFIDENCE = 1.3
"""I2P points of lower confidence are zero in L2W's training, as the embedded weights' settings.yaml does it in use."""


def render_data(directory: Path, rooms: int, processes: int) -> int:
    """Render the validation rooms and the first `rooms` training rooms; returns how many rooms have frames."""
    seeds = [*VALIDATION_SEEDS[:VALIDATION_ROOMS], *TRAINING_SEEDS[:rooms]]
    return render_rooms(directory, seeds, EMBEDDED_I2P.image_size[0], processes)


def make_stage(name: str, data: Path, out: Path, rooms: int, workers: Workers) -> Stage:
    """The stage of this name. Correlation and l2w start from the export of i2p in `out`.

    Raises FileNotFoundError when rooms or the stage before are missing.
    """
    training = load_rooms(data, TRAINING_SEEDS[:rooms])
    validation = load_rooms(data, VALIDATION_SEEDS[:VALIDATION_ROOMS])
    if workers.rank == 0:
        print(f"{name}: {len(training)} training rooms, {len(validation)} validation rooms", flush=True)
    if name == "i2p":
        return ImageToPointsStage(training, validation)
    if name == "correlation":
        return CorrelationStage(_finished_i2p(out, "i2p"), training, validation)
    return _l2w_stage(out, training, validation, workers)


def _finished_i2p(out: Path, stage: str) -> ImageToPoints:
    try:
        return load_network(ImageToPoints, out / stage, "i2p")
    except WeightsError as error:
        command = f"slam3r_ros train --stage {stage}"
        raise FileNotFoundError(f"the weights of stage {stage} are needed: run '{command}' first ({error})") from error


def _l2w_stage(out: Path, training: RenderedRooms, validation: RenderedRooms, workers: Workers) -> LocalToWorldStage:
    """Every worker trains on its own share of the rooms, so that it needs the tokens of these only."""
    i2p = _finished_i2p(out, "i2p").eval()
    digest = weights_digest(out / "i2p" / "i2p" / "model.safetensors")
    directory = out / "l2w"
    directory.mkdir(parents=True, exist_ok=True)
    mine = training.share(workers.rank, workers.count)
    own = directory / f"tokens_{workers.rank}_of_{workers.count}.npz"
    tokens = load_or_build(own, i2p, digest, mine, POINT_CONFIDENCE, augment=True)
    shared = directory / f"tokens_validation_{workers.rank}.npz"
    validation_tokens = load_or_build(shared, i2p, digest, validation, POINT_CONFIDENCE, augment=False)
    return LocalToWorldStage(i2p, (mine, tokens), (validation, validation_tokens))


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What to train, on what and for how long."""

    stage: str
    data: Path
    out: Path
    minutes: float
    rooms: int
    processes: int
    learning_rate: float | None = None


def train_stage(run: TrainingRun) -> None:
    """Train one stage in `out`/stage, from its checkpoint if there is one."""
    run_workers(_train, run.processes, run)


def _train(workers: Workers, run: TrainingRun) -> None:
    settings = TrainingSettings(minutes=run.minutes, learning_rate=run.learning_rate or LEARNING_RATES[run.stage])
    network = "l2w" if run.stage == "l2w" else "i2p"
    stage = make_stage(run.stage, run.data, run.out, run.rooms, workers)
    Trainer(stage, run.out / run.stage, network, settings, workers).run()


def train_all(run: TrainingRun) -> None:
    """Render the rooms, train the three stages one after the other in `minutes` altogether, and collect the weights."""
    render_data(run.data, run.rooms, run.processes)
    for stage, share in SHARES_OF_TIME.items():
        train_stage(replace(run, stage=stage, minutes=run.minutes * share))
    collect_weights(run.out)


def collect_weights(out: Path) -> Path:
    """Copy the finished networks of the stages in `out` to `out`/weights, a directory that the engine can load."""
    target = out / "weights"
    for network, stage in (("i2p", "correlation"), ("l2w", "l2w")):
        shutil.copytree(out / stage / network, target / network, dirs_exist_ok=True)
    return target

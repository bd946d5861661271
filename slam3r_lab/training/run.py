"""Training runs: rendering, one stage, or all of them, up to weights that the engine can load."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from slam3r_ros.networks.decoder import MultiviewNetwork
from slam3r_ros.networks.errors import WeightsError
from slam3r_ros.networks.hub import find_weights
from slam3r_ros.networks.image_to_points import ImageToPoints
from slam3r_ros.networks.local_to_world import LocalToWorld
from slam3r_ros.networks.recommended_settings import SETTINGS_FILE, recommended_settings
from slam3r_ros.networks.weights import choose_device, load_network

from .clips import DataError
from .config import TrainingConfig
from .correlation_stage import CorrelationStage
from .data import check_data, check_recordings, load_phases, load_validation, render_data
from .embedded_config import I2P_SIZES, initialise_weights
from .export import EXPORTED_FILES
from .growth import grown, with_patches_of
from .i2p_stage import BatchSettings, ImageToPointsStage
from .l2w_stage import LocalToWorldStage, new_l2w
from .logs import require_tensorboard
from .token_cache import load_or_build, weights_digest
from .trainer import Stage, Trainer, TrainingSettings
from .workers import Workers, run_workers, under_torchrun

Network = TypeVar("Network", bound=MultiviewNetwork)

SHARES_OF_TIME = {"i2p": 0.57, "correlation": 0.06, "l2w": 0.37}


def run_training(config: TrainingConfig) -> None:
    """Do what the configuration says. Raises DataError, FamilyError, ConfigurationError, WeightsError."""
    check_inputs(config)
    if config.stage in ("all", "data") and not under_torchrun():
        render_data(config, _image_size(config))
    if config.stage != "data" or under_torchrun():
        run_workers(_run, config.processes, config)


def check_inputs(config: TrainingConfig) -> None:
    """Raise what is wrong with the configuration's data, weights and logs before anything is rendered or trained."""
    choose_device(config.device)
    if config.tensorboard == "on":
        require_tensorboard()
    if config.stage in ("correlation", "l2w"):
        _finished_i2p(config.out, "i2p")
    elif config.start is not None:
        starting_i2p(config)
    if config.stage in ("all", "data"):
        check_recordings(config)
    else:
        check_data(config, _image_size(config))


def _run(workers: Workers, config: TrainingConfig) -> None:
    if config.stage in ("all", "data") and under_torchrun():
        if workers.rank == 0:
            render_data(config, _image_size(config))
        workers.wait()
    if config.stage == "data":
        return
    stages = SHARES_OF_TIME if config.stage == "all" else {config.stage: 1.0}
    for name, share in stages.items():
        train_stage(workers, replace(config, stage=name, minutes=config.minutes * share))
    if config.stage == "all" and workers.rank == 0:
        print(f"weights: {collect_weights(config)}", flush=True)


def train_stage(workers: Workers, config: TrainingConfig) -> None:
    """Train one stage in `out`/stage, from its checkpoint if there is one."""
    device = workers.device(config.device)
    settings = TrainingSettings(
        minutes=config.minutes,
        learning_rate=config.learning_rate,
        checkpoint_seconds=60 * config.checkpoint_minutes,
        seed=config.seed,
        precision=choose_precision(config.precision, device),
        tensorboard=config.tensorboard,
    )
    stage = make_stage(config, workers, device)
    network, based_on = "l2w" if config.stage == "l2w" else "i2p", "" if config.stage == "i2p" else _i2p_digest(config)
    Trainer(stage, config.out / config.stage, network, settings, workers, based_on=based_on).run()


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """What the setting means: auto is bfloat16 on CUDA devices that have it and on processors with AMX."""
    if name == "auto":
        amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)  # not in every torch
        has_it = torch.cuda.is_bf16_supported() if device.type == "cuda" else amx()
        return torch.bfloat16 if has_it else torch.float32
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def make_stage(config: TrainingConfig, workers: Workers, device: torch.device) -> Stage:
    """The stage that the configuration names. Correlation and l2w start from the export of i2p in `out`.

    Raises DataError when worlds or the stage before are missing, WeightsError for `--from`.
    """
    if config.stage == "i2p":
        return _i2p_stage(config, workers, device)
    i2p = _finished_i2p(config.out, "i2p").to(device)
    if config.stage == "correlation":
        last = _last_phase_only(config)
        training = load_phases(last, i2p.config.image_size[0], workers)[-1].clips
        return CorrelationStage(i2p, training, load_validation(last, i2p.config.image_size[0]))
    return _l2w_stage(config, i2p, workers)


def _image_size(config: TrainingConfig) -> int:
    """Side of the networks' images, pixels."""
    if config.start is None:
        return I2P_SIZES[config.size or "embedded"].image_size[0]
    return load_network(ImageToPoints, find_weights(config.start), "i2p").config.image_size[0]


def _last_phase_only(config: TrainingConfig) -> TrainingConfig:
    return replace(config, curriculum=config.curriculum[-1:])


def _i2p_stage(config: TrainingConfig, workers: Workers, device: torch.device) -> ImageToPointsStage:
    model = for_training(starting_i2p(config), device, choose_precision(config.precision, device))
    side = model.config.image_size[0]
    phases, validation = load_phases(config, side, workers), load_validation(config, side)
    if workers.rank == 0:
        counts = ", ".join(f"{len(phase.clips)} clips of {phase.image_size} px" for phase in phases)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        print(f"i2p: {parameters / 1e6:.1f} M weights on {device}; {counts}; {len(validation)} to validate", flush=True)
    return ImageToPointsStage(model, phases, validation, BatchSettings(config.batch, config.views))


def starting_i2p(config: TrainingConfig) -> ImageToPoints:
    """The network that I2P's training begins with; raises WeightsError for `--from`, ConfigurationError where that
    cannot grow to `--size`.
    """
    if config.start is None:
        model = ImageToPoints(I2P_SIZES[config.size or "embedded"])
        initialise_weights(model, config.seed)
        return model
    model = load_network(ImageToPoints, find_weights(config.start), "i2p")
    return grown(model, I2P_SIZES[config.size], config.seed) if config.size else model


def for_training(model: Network, device: torch.device, precision: torch.dtype) -> Network:
    """The network on `device`; on a CPU in bfloat16 with plain attention, since torch's fused one, quicker in float32,
    then takes longer backwards than all else together.
    """
    if device.type == "cpu" and precision == torch.bfloat16:
        model.use_attention("plain")
    return model.to(device)


def _finished_i2p(out: Path, stage: str) -> ImageToPoints:
    try:
        return load_network(ImageToPoints, out / stage, "i2p").eval()
    except WeightsError as error:
        command = f"slam3r_lab train --stage {stage}"
        raise DataError(f"the weights of stage {stage} are needed: run '{command}' first ({error})") from error


def _i2p_digest(config: TrainingConfig) -> str:
    return weights_digest(config.out / "i2p" / "i2p" / "model.safetensors")


def _l2w_stage(config: TrainingConfig, i2p: ImageToPoints, workers: Workers) -> LocalToWorldStage:
    """Every worker trains on its own share of the clips, so that it needs the tokens of these only."""
    config = _last_phase_only(config)
    side = i2p.config.image_size[0]
    threshold = recommended_settings(_alike(config)).register.point_confidence  # points below it are zero, as in use
    model = new_l2w(i2p)
    if config.start is not None:
        model = with_patches_of(load_network(LocalToWorld, find_weights(config.start), "l2w"), i2p.config)
    model = for_training(model, i2p.device, choose_precision(config.precision, i2p.device))
    digest = _i2p_digest(config)
    caches = config.out / "l2w"
    mine = load_phases(config, side, workers)[-1].clips
    validation = load_validation(config, side)
    own = caches / f"tokens_{workers.rank}_of_{workers.count}.npz"
    tokens = load_or_build(own, i2p, digest, mine, threshold, augment=True)
    shared = caches / f"tokens_validation_{workers.rank}.npz"
    validation_tokens = load_or_build(shared, i2p, digest, validation, threshold, augment=False)
    if workers.rank == 0:
        print(f"l2w: {len(mine)} clips for each of {workers.count} workers, {len(validation)} to validate", flush=True)
    return LocalToWorldStage(model, (mine, tokens), (validation, validation_tokens), 2 * config.batch - 4)


def collect_weights(config: TrainingConfig) -> Path:
    """Copy the finished networks of the stages in `out` to `out`/weights, a directory that the engine can load, with
    the thresholds of the weights that they began with.
    """
    target = config.out / "weights"
    for network, stage in (("i2p", "correlation"), ("l2w", "l2w")):
        (target / network).mkdir(parents=True, exist_ok=True)
        for name in EXPORTED_FILES:
            shutil.copy(config.out / stage / network / name, target / network)
    settings, recommended = _alike(config) / SETTINGS_FILE, target / SETTINGS_FILE
    recommended.unlink(missing_ok=True)
    if settings.is_file():  # the published weights have none: theirs are the defaults
        shutil.copy(settings, recommended)
    return target


def _alike(config: TrainingConfig) -> Path:
    """The weights whose confidences are like those of the ones trained: those begun with, else `embedded`."""
    return find_weights(config.start or "embedded")

"""The training and validation clips of a run, from rendered worlds and recordings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from slam3r_lab.worlds.family import family_of
from slam3r_ros.networks.weights import choose_device

from .clips import Clips, DataError
from .config import Phase, TrainingConfig
from .recorded_data import load_recording, recordings_in
from .rendered_data import family_folder, holds_worlds, load_world, no_worlds, render_worlds, rendered_seeds, world_file
from .seeds import TRAINING_SEEDS, VALIDATION_SEEDS
from .workers import Workers

VALIDATION_WORLDS = 16
"""Most worlds of a family to validate on; a quarter of the training worlds where those are few."""

MOST_PROCESSES_ON_A_GPU = 8
"""That render there; each holds some hundred megabytes."""


@dataclass(frozen=True, slots=True, eq=False)
class PhaseData:
    """What a phase of the curriculum learns from."""

    image_size: int
    """Side of the images, pixels."""
    until: float
    """Share of the run's time at which the phase ends, 1 for the last."""
    clips: Clips


def render_data(config: TrainingConfig, image_size: int) -> int:
    """Render the worlds that the curriculum needs and that are missing, images `image_size` pixels where a phase does
    not say; returns how many worlds have frames. Raises FamilyError, DataError.
    """
    seeds = [*_validation_seeds(config), *_training_seeds(config)]
    on = choose_device(config.device)
    processes = min(config.processes, MOST_PROCESSES_ON_A_GPU) if on.type == "cuda" else config.processes
    wanted = {
        (family_of(family).name, phase.image_size or image_size)
        for phase in config.curriculum
        for family in phase.families
    }
    folders = [(family_folder(config.data[0], family, size), family, size) for family, size in sorted(wanted)]
    return sum(render_worlds(folder, seeds, family, size, processes, str(on)) for folder, family, size in folders)


def _training_seeds(config: TrainingConfig) -> range:
    if config.rooms > len(TRAINING_SEEDS):
        raise DataError(
            f"--rooms: at most {len(TRAINING_SEEDS)} worlds are for training (the others are for validation and "
            f"tests), got {config.rooms}"
        )
    return TRAINING_SEEDS[: config.rooms]


def _validation_seeds(config: TrainingConfig) -> range:
    return VALIDATION_SEEDS[: max(1, min(VALIDATION_WORLDS, config.rooms // 4))]


def check_data(config: TrainingConfig, image_size: int) -> None:
    """Raise DataError or FamilyError when worlds or folders that a run needs are missing; quick."""
    seeds = [*_training_seeds(config), *_validation_seeds(config)]
    for phase in config.curriculum:
        for family in phase.families:
            folder = _folder(config, family, phase.image_size or image_size)
            if not any(world_file(folder, seed).exists() for seed in seeds):
                raise no_worlds(folder)
    check_recordings(config)


def check_recordings(config: TrainingConfig) -> None:
    """Raise DataError for a folder of --data, after the first, that is missing or holds nothing; quick."""
    for folder in config.data[1:]:
        if not folder.is_dir():
            raise DataError(f"--data: there is no folder {folder}")
        if not recordings_in(folder) and not holds_worlds(folder):
            raise DataError(f"--data: {folder} holds no recording (rgb/, depth/, poses.txt, intrinsics.txt)")


def load_phases(config: TrainingConfig, image_size: int, workers: Workers) -> list[PhaseData]:
    """The phases of the curriculum, in order, with the clips of one worker; raises DataError, FamilyError."""
    total, done, phases = sum(phase.share for phase in config.curriculum), 0.0, []
    for phase in config.curriculum:
        done += phase.share / total
        clips = load_training(config, phase, image_size, workers)
        phases.append(PhaseData(phase.image_size or image_size, done, clips))
    return phases


def load_training(config: TrainingConfig, phase: Phase, image_size: int, workers: Workers) -> Clips:
    """The clips that one of the workers learns from in a phase, every `workers.count`-th of all: its families' worlds,
    one family as often as another, and all recordings, a clip of which is drawn as often as a world on average.
    """
    side = phase.image_size or image_size
    worlds = _worlds(config, phase, side, _training_seeds(config))
    recorded = _recordings(config.data, side, config.out / "recordings")
    count = len(worlds)
    worlds = [replace(world, weight=world.weight * count / len(phase.families)) for world in worlds]
    shares, before = [], count
    for part in recorded:
        shares.append(part.share((workers.rank - before) % workers.count, workers.count))
        before += len(part)
    return _loaded(worlds[workers.rank :: workers.count], shares, side)


def load_validation(config: TrainingConfig, image_size: int) -> Clips:
    """The clips that all stages are validated on: worlds of the last phase's families that are never trained on."""
    phase = config.curriculum[-1]
    side = phase.image_size or image_size
    return _loaded(_worlds(config, phase, side, _validation_seeds(config)), [], side)


@dataclass(frozen=True, slots=True)
class _World:
    """A rendered world that is to be loaded."""

    folder: Path
    family: str
    seed: int
    weight: float


def _worlds(config: TrainingConfig, phase: Phase, side: int, seeds: range) -> list[_World]:
    """The worlds of each of a phase's families; the weights of a family's worlds add up to how often it is named."""
    worlds = []
    for family in sorted(set(phase.families)):
        folder = _folder(config, family, side)
        present = rendered_seeds(folder, seeds)
        weight = phase.families.count(family) / len(present)
        worlds += [_World(folder, family, seed, weight) for seed in present]
    return worlds


def _loaded(worlds: list[_World], recorded: list[Clips], side: int) -> Clips:
    count = len(worlds) + sum(map(len, recorded))
    if not count:
        raise DataError("training data: fewer clips than processes that train; render more or use fewer processes")
    loaded = (load_world(world.folder, world.family, world.seed, world.weight) for world in worlds)
    return _checked(Clips.joined(chain(loaded, recorded), count), side)


def _folder(config: TrainingConfig, family: str, side: int) -> Path:
    return family_folder(config.data[0], family_of(family).name, side)


def _recordings(folders: tuple[Path, ...], side: int, cache: Path) -> list[Clips]:
    found = [recording for folder in folders for recording in recordings_in(folder)]
    clips = [load_recording(recording, (side, side), cache) for recording in found]
    return [part for part in clips if part is not None]


def _checked(clips: Clips, side: int) -> Clips:
    if clips.image_size != (side, side):
        raise DataError(
            f"training data: images of {clips.image_size[1]} x {clips.image_size[0]} pixels, expected {side} x {side}"
        )
    return clips

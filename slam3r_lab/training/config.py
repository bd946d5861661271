"""The configuration of a training run, as one value."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from slam3r_ros.setting_spec import SettingError, setting, specs_of

STAGES = ("all", "data", "i2p", "correlation", "l2w")
PRECISIONS = ("auto", "float32", "bfloat16")
NETWORK_SIZES = ("embedded", "embedded-deep", "embedded-large")
_LEAST, _MOST = 1e-9, 1e9
"""Limits of numbers that must be above 0 and finite."""


class ConfigurationError(ValueError):
    """Settings of a training run that cannot be used; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the curriculum: what I2P learns from for a share of its time."""

    families: tuple[str, ...]
    """Names of families of worlds, each as often in a batch as the others; one that is there twice, twice as often."""
    image_size: int | None = None
    """Side of the images, pixels; None for that of the networks."""
    share: float = 1.0
    """Of the time, relative to the other phases."""

    @classmethod
    def parse(cls, text: str) -> Phase:
        """FAMILIES[:IMAGE_SIZE[:SHARE]], such as `rooms:112:0.5` or `narrow+rooms`; raises ConfigurationError."""
        first, *rest = text.split(":")
        families = tuple(first.split("+"))
        try:
            size = int(rest[0]) if rest and rest[0] else None
            share = float(rest[1]) if len(rest) > 1 else 1.0
            if len(rest) > 2 or not all(families) or not 0 < share < float("inf") or (size is not None and size < 16):
                raise ValueError
        except ValueError as error:
            raise ConfigurationError(
                f"curriculum: expected FAMILIES[:IMAGE_SIZE[:SHARE]] such as rooms:112:0.5 or narrow+wide, got '{text}'"
            ) from error
        return cls(families, size, share)

    def __str__(self) -> str:
        size = "" if self.image_size is None else str(self.image_size)
        return f"{'+'.join(self.families)}:{size}:{self.share:g}".removesuffix(":1").removesuffix(":")


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """The numbers and choices of a training run; each is an option of the command line, its meaning the help."""

    stage: str = setting(
        "all",
        "data: render the worlds; then i2p, correlation and l2w in this order; all: everything",
        choices=STAGES,
    )
    minutes: float = setting(
        60.0,
        "time to train, for all: of the three stages together; a stopped run goes on",
        unit="min",
        minimum=_LEAST,
        maximum=_MOST,
    )
    rooms: int = setting(440, "number of training worlds of each family to render or to use", minimum=1)
    views: int = setting(6, "most views of an I2P window", minimum=2, maximum=11)
    batch: int = setting(32, "views in an I2P batch of each process; L2W takes about twice as many", minimum=1)
    learning_rate: float = setting(1e-3, "peak learning rate", minimum=_LEAST, maximum=_MOST)
    device: str = setting("auto", "auto (CUDA where there is one), cpu, cuda or cuda:<number>")
    precision: str = setting(
        "auto",
        "auto: bfloat16 where a CUDA device or the processor (AMX) has quick products of it, else float32; heads and "
        "losses are float32",
        choices=PRECISIONS,
    )
    processes: int = setting(
        os.cpu_count() or 1, "processes of one thread each; torchrun's own number where it starts them", minimum=1
    )
    checkpoint_minutes: float = setting(
        5.0, "time between checkpoints, validations and pictures", unit="min", minimum=_LEAST, maximum=_MOST
    )
    tensorboard: str = setting(
        "auto", "TensorBoard logs: auto (where installed), on, off", choices=("auto", "on", "off")
    )
    seed: int = setting(0, "of everything random in training", minimum=0)

    def __post_init__(self) -> None:
        for spec in specs_of(TrainingOptions):
            try:
                spec.check(getattr(self, spec.name))
            except SettingError as error:
                raise ConfigurationError(f"--{str(error).replace('_', '-')}") from error


@dataclass(frozen=True, slots=True)
class TrainingConfig(TrainingOptions):
    """The configuration of a training run."""

    data: tuple[Path, ...] = (Path("training_data"),)
    """Folders of training data. The first is where rendered worlds are kept; others are RGB-D recordings (rgb/, depth/,
    poses.txt, intrinsics.txt) or hold such folders."""
    out: Path = field(default_factory=lambda: Path("training_runs"))
    """The folder of checkpoints, logs, pictures and exports."""
    curriculum: tuple[Phase, ...] = (Phase(("narrow",)),)
    """What I2P learns from, one phase after the other; the other stages use the last one."""
    size: str | None = None
    """The sizes of the networks, of NETWORK_SIZES; None for those of the weights to start from, else `embedded`."""
    start: str | None = None
    """Weights to fine-tune: `embedded`, a directory or a hub id; None to start from scratch."""

    def __post_init__(self) -> None:
        TrainingOptions.__post_init__(self)
        if not self.data or not self.curriculum:
            raise ConfigurationError("--data and --curriculum need at least one value")

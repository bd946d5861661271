"""Everything that a training run can be told, as one value; the command line of `slam3r_lab train` is made from it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STAGES = ("all", "data", "i2p", "correlation", "l2w")
PRECISIONS = ("auto", "float32", "bfloat16")
NETWORK_SIZES = ("embedded", "embedded-deep", "embedded-large")


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


def _setting(default: Any, meaning: str, **metadata: Any) -> Any:
    return field(default=default, metadata={"meaning": meaning, **metadata})


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """One training run. Each field is an option of the command line, with its meaning as the help."""

    stage: str = _setting(
        "all",
        "data: render the worlds; then i2p, correlation and l2w in this order; all: everything",
        choices=STAGES,
    )
    data: tuple[Path, ...] = _setting(
        (Path("training_data"),),
        "folders of training data: the first is where rendered worlds are kept; others are RGB-D recordings "
        "(rgb/, depth/, poses.txt, intrinsics.txt) or hold such folders",
        many=True,
        parse=Path,
    )
    out: Path = _setting(  # noqa: RUF009  # a dataclass field, as the others are
        Path("training_runs"), "folder of checkpoints, logs, pictures and exports", parse=Path
    )
    minutes: float = _setting(
        60.0, "time to train, for all: of the three stages together; a stopped run goes on", parse=float
    )
    rooms: int = _setting(440, "number of training worlds of each family to render or to use", parse=int)
    curriculum: tuple[Phase, ...] = _setting(
        (Phase(("narrow",)),),
        "what I2P learns from one after the other, FAMILIES[:IMAGE_SIZE[:SHARE]] (families: narrow, rooms, wide, "
        "turns; several with +, as in narrow+rooms+wide); the other stages use the last",
        many=True,
        parse=Phase.parse,
    )
    size: str | None = _setting(
        None,
        "sizes of the networks: embedded (patches of 16 pixels, 5 and 3 blocks), embedded-deep (8 and 5 blocks) or "
        "embedded-large (patches of 8); weights of --from may get more blocks or smaller patches; default: theirs, "
        "else embedded. The later stages have I2P's",
        choices=NETWORK_SIZES,
    )
    start: str | None = _setting(
        None, "weights to fine-tune: 'embedded', 'embedded-large', a directory or a hub id", option="--from", parse=str
    )
    views: int = _setting(6, "most views of an I2P window, 2 to 11", parse=int)
    batch: int = _setting(32, "views in an I2P batch of each process; L2W takes about twice as many", parse=int)
    learning_rate: float = _setting(1e-3, "peak learning rate", parse=float)
    device: str = _setting("auto", "auto (CUDA where there is one), cpu, cuda or cuda:<number>", parse=str)
    precision: str = _setting(
        "auto",
        "auto: bfloat16 where a CUDA device or the processor (AMX) has quick products of it, else float32; heads and "
        "losses are float32",
        choices=PRECISIONS,
    )
    processes: int = _setting(
        os.cpu_count() or 1, "processes of one thread each; torchrun's own number where it starts them", parse=int
    )
    checkpoint_minutes: float = _setting(5.0, "time between checkpoints, validations and pictures", parse=float)
    tensorboard: str = _setting(
        "auto", "TensorBoard logs: auto (where installed), on, off", choices=("auto", "on", "off")
    )
    seed: int = _setting(0, "of everything random in training", parse=int)

    def __post_init__(self) -> None:
        for name in ("minutes", "rooms", "batch", "learning_rate", "processes", "checkpoint_minutes"):
            if not 0 < getattr(self, name) < float("inf"):
                option = "--" + name.replace("_", "-")
                raise ConfigurationError(f"{option} must be above 0, got {getattr(self, name)}")
        if not 2 <= self.views <= 11:
            raise ConfigurationError(f"--views must be from 2 to 11, got {self.views}")
        if not self.data or not self.curriculum:
            raise ConfigurationError("--data and --curriculum need at least one value")

"""`slam3r_lab train`: render the training worlds and train networks, one stage at a time or all."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from slam3r_lab.training.config import NETWORK_SIZES, ConfigurationError, Phase, TrainingConfig, TrainingOptions
from slam3r_ros.setting_spec import SettingSpec, SettingValue, specs_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab train``: an option for each field of TrainingConfig."""
    for spec in specs_of(TrainingOptions):
        parser.add_argument(
            "--" + spec.name.replace("_", "-"),
            type=_typed(spec),
            default=spec.default,
            choices=spec.choices or None,
            metavar=None if spec.choices else spec.name.upper(),
            help=f"{_meaning(spec)} (default: %(default)s)",
        )
    parser.add_argument(
        "--data",
        nargs="+",
        type=Path,
        default=TrainingConfig().data,
        help="folders of training data: the first is where rendered worlds are kept; others are RGB-D recordings "
        "(rgb/, depth/, poses.txt, intrinsics.txt) or hold such folders (default: training_data)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=TrainingConfig().out,
        help="folder of checkpoints, logs, pictures and exports (default: %(default)s)",
    )
    parser.add_argument(
        "--curriculum",
        nargs="+",
        type=_phase,
        default=TrainingConfig().curriculum,
        metavar="PHASE",
        help="what I2P learns from one after the other, FAMILIES[:IMAGE_SIZE[:SHARE]] (families: narrow, rooms, wide, "
        "turns; several with +, as in narrow+rooms+wide); the other stages use the last (default: narrow)",
    )
    parser.add_argument(
        "--size",
        choices=NETWORK_SIZES,
        help="sizes of the networks: embedded (patches of 16 pixels, 5 and 3 blocks), embedded-deep (8 and 5 blocks) "
        "or embedded-large (patches of 8); weights of --from may get more blocks or smaller patches; default: theirs, "
        "else embedded. The later stages have I2P's",
    )
    parser.add_argument(
        "--from",
        dest="start",
        metavar="START",
        help="weights to fine-tune: 'embedded', a directory or a hub id",
    )


def _meaning(spec: SettingSpec) -> str:
    """The meaning of a setting with its unit, its range and, as argparse's help needs it, with doubled % signs."""
    unit = f" [{spec.unit}]" if spec.unit else ""
    is_narrow = spec.maximum is not None and not spec.choices and spec.maximum < 100
    return f"{spec.meaning}{', ' + spec.range_text if is_narrow else ''}{unit}".replace("%", "%%")


def _typed(spec: SettingSpec) -> Callable[[str], SettingValue]:
    """A function from text to the type of a setting; the range is checked with all other values, by TrainingConfig."""
    kind = type(spec.default)

    def typed(text: str) -> SettingValue:
        return kind(text)

    typed.__name__ = kind.__name__
    return typed


def _phase(text: str) -> Phase:
    try:
        return Phase.parse(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def config_from(arguments: argparse.Namespace) -> TrainingConfig:
    """The configuration that the command line asks for; raises ConfigurationError."""
    values = {each.name: getattr(arguments, each.name) for each in fields(TrainingConfig)}
    return TrainingConfig(**{**values, "data": tuple(values["data"]), "curriculum": tuple(values["curriculum"])})


def main(arguments: argparse.Namespace) -> int:
    """Run the training; returns the exit status."""
    try:
        config = config_from(arguments)
    except ConfigurationError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    from slam3r_lab.training.clips import DataError
    from slam3r_lab.training.run import run_training
    from slam3r_lab.worlds.family import FamilyError
    from slam3r_ros.networks.errors import WeightsError

    try:
        run_training(config)
    except (ConfigurationError, FamilyError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except (DataError, WeightsError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    return 0

"""`slam3r_lab train`: render the training worlds and train networks, one stage at a time or all."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import Field, fields
from typing import Any

from slam3r_lab.training.config import ConfigurationError, TrainingConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """An option for each field of TrainingConfig."""
    for setting in fields(TrainingConfig):
        meaning, choices = setting.metadata["meaning"], setting.metadata.get("choices")
        options: dict[str, Any] = {
            "dest": setting.name,
            "default": setting.default,
            "help": f"{meaning}{_shown(setting)}",
        }
        if choices is not None:
            options["choices"] = choices
        else:
            options["type"] = _typed(setting.metadata["parse"])
            options["metavar"] = setting.name.upper()
        if setting.metadata.get("many"):
            options["nargs"] = "+"
        parser.add_argument(setting.metadata.get("option", "--" + setting.name.replace("_", "-")), **options)


def _shown(setting: Field[Any]) -> str:
    """The default, in brackets."""
    default: Any = setting.default
    if default is None:
        return ""
    values = default if setting.metadata.get("many") else (default,)
    return f" (default: {' '.join(map(str, values))})"


def _typed(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def typed(text: str) -> Any:
        try:
            return parse(text)
        except ConfigurationError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    typed.__name__ = getattr(parse, "__name__", "value")
    return typed


def config_from(arguments: argparse.Namespace) -> TrainingConfig:
    """The configuration that the command line asks for; raises ConfigurationError."""
    values: dict[str, Any] = {setting.name: getattr(arguments, setting.name) for setting in fields(TrainingConfig)}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return TrainingConfig(**values)


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

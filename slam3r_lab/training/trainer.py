"""The training loop that the three stages share: time-boxed, checkpointed, resumed exactly where it stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from .config import ConfigurationError
from .logs import Logs
from .optimisation import MovingAverage, learning_rate_factor, make_optimisers
from .pictures import Picture
from .workers import Workers


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """One run of the loop."""

    minutes: float
    """Planned time; the learning rate falls to its floor over it. Time before a restart counts."""
    learning_rate: float = 1e-3
    checkpoint_seconds: float = 300.0
    gradient_limit: float = 1.0
    seed: int = 0
    precision: torch.dtype = torch.float32
    """Of the networks' matrix products (autocast); weights, heads and losses are float32."""
    tensorboard: str = "off"
    """auto, on or off."""


class Stage(Protocol):
    """What a stage of training is to the loop."""

    @property
    def model(self) -> nn.Module:
        """The module whose parameters with requires_grad are trained, on the device to train on."""

    def loss(self, random: np.random.Generator, progress: float) -> tuple[Tensor, int]:
        """The loss of one random batch and its number of samples, at `progress` (0 to 1) of the planned time."""

    def validate(self) -> dict[str, float]:
        """Figures of the model as it is, on fixed held-out samples."""

    def picture(self) -> Picture:
        """What the model as it is predicts for some fixed held-out samples."""

    def export(self, directory: Path) -> None:
        """Write the model as it is, in the published file format."""


class StageLoss(nn.Module):
    """The loss of a stage as a module, around which torch's DistributedDataParallel can be put."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.model = stage.model
        self._stage = stage

    def forward(self, random: np.random.Generator, progress: float) -> tuple[Tensor, int]:
        """See `Stage.loss`."""
        return self._stage.loss(random, progress)


@dataclass(slots=True)
class Progress:
    """How far a run has come; saved in its checkpoint."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0


class Trainer:
    """Runs one stage in `directory`: checkpoint.pt, log.csv, pictures/, tensorboard/ and the exported network's folder
    are its files.
    """

    def __init__(
        self,
        stage: Stage,
        directory: Path,
        network: str,
        settings: TrainingSettings,
        workers: Workers | None = None,
        clock: Callable[[], float] = time.monotonic,
        based_on: str = "",
    ) -> None:
        """`network` names the folder of the exported network: i2p or l2w; `clock` gives seconds; `based_on` says which
        weights of an earlier stage this one needs: a checkpoint made with others is not resumed.

        Raises ConfigurationError when the checkpoint in `directory` is of another network.
        """
        self.stage, self._directory, self._network, self._settings = stage, directory, network, settings
        self._workers = workers or Workers()
        self._device = next(stage.model.parameters()).device
        self._optimisers = make_optimisers(stage.model, settings.learning_rate, self._workers)
        self._average = MovingAverage(stage.model)
        self._loss = self._workers.averaging_gradients(StageLoss(stage))
        self._clock, self._since, self._based_on = clock, clock(), based_on
        self.progress = Progress()
        directory.mkdir(parents=True, exist_ok=True)
        if self._checkpoint_path.exists():
            self._resume()
        self._logs = Logs(directory, settings.tensorboard) if self._workers.rank == 0 else None

    @property
    def _checkpoint_path(self) -> Path:
        return self._directory / "checkpoint.pt"

    @property
    def _share_done(self) -> float:
        return self.progress.seconds / (60 * self._settings.minutes)

    def run(self) -> None:
        """Train until the planned minutes are over; checkpoint, validate and export on the way and at the end."""
        losses: list[float] = []
        before = replace(self.progress)
        self._since = self._clock()
        while self._share_done < 1:
            losses.append(self.one_step())
            if self.progress.seconds - before.seconds > self._settings.checkpoint_seconds:
                self._report(losses, before)
                losses, before = [], replace(self.progress)
        if losses or not (self._directory / self._network).exists():
            self._report(losses, before)

    def one_step(self) -> float:
        """One optimisation step; returns its loss. The batch depends on the step's number and the worker alone."""
        progress, settings, workers = self.progress, self._settings, self._workers
        random = np.random.default_rng([settings.seed, progress.step, workers.rank])
        with self._autocast():
            loss, samples = self._loss(random, self._share_done)
        for optimiser in self._optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        trained = [parameter for parameter in self.stage.model.parameters() if parameter.grad is not None]
        own_loss = float(loss.detach())
        seconds = progress.seconds + self._clock() - self._since
        mean_loss, mean_samples, progress.seconds = workers.average([own_loss, samples, seconds], self._device)
        self._since = self._clock()
        norm = torch.nn.utils.clip_grad_norm_(trained, settings.gradient_limit)
        if torch.isfinite(norm):
            factor = learning_rate_factor(progress.step, self._share_done)
            for optimiser in self._optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = settings.learning_rate * factor
                optimiser.step()
        self._average.follow(self.stage.model)
        progress.step += 1
        progress.samples += round(mean_samples * workers.count)
        return mean_loss

    def _autocast(self) -> torch.autocast:
        lower = self._settings.precision != torch.float32
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=lower)

    def _report(self, losses: list[float], before: Progress) -> None:
        """Validate, picture and export the averaged weights, then save a checkpoint and log (first worker only).

        The checkpoint comes after the export, so that a run which is killed in between makes up for both.
        """
        if self._logs is not None:
            model = self.stage.model
            current = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            model.load_state_dict(self._average.weights)
            model.eval()
            with torch.no_grad(), self._autocast():
                figures = self.stage.validate()
                picture = self.stage.picture()
            self.stage.export(self._directory / self._network)
            model.load_state_dict(current)
            model.train()
            self.save()
            rate = (self.progress.samples - before.samples) / max(self.progress.seconds - before.seconds, 1e-6)
            loss = float(np.mean(losses)) if losses else float("nan")
            row = {**asdict(self.progress), "loss": loss, "samples_per_second": rate, **figures}
            self._logs.add({name: round(value, 5) for name, value in row.items()}, picture)
        self._workers.wait()
        self._since = self._clock()

    def save(self) -> None:
        """Write the checkpoint, replacing the old one at once."""
        partial = self._checkpoint_path.with_suffix(".partial")
        state = {
            "progress": asdict(self.progress),
            "based_on": self._based_on,
            "model": self.stage.model.state_dict(),
            "average": self._average.weights,
            "optimisers": [optimiser.state_dict() for optimiser in self._optimisers],
        }
        torch.save(state, partial)
        os.replace(partial, self._checkpoint_path)

    def _resume(self) -> None:
        """Go on from the checkpoint, unless it was made with other weights of an earlier stage."""
        path, first = self._checkpoint_path, self._workers.rank == 0
        state = torch.load(path, weights_only=True, map_location=self._device)
        if state.get("based_on", "") != self._based_on:  # checkpoints of earlier versions do not say
            if first:
                print(f"{path} was made with other weights of the stage before: this stage starts anew", flush=True)
            return
        try:
            self.stage.model.load_state_dict(state["model"])
        except RuntimeError as error:
            raise ConfigurationError(
                f"{path} is of a run with another network (--size, --from): choose another --out, or remove "
                f"{self._directory} to train this stage anew"
            ) from error
        self.progress = Progress(**state["progress"])
        self._average.load(state["average"], self.progress.step)
        for optimiser, saved in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        if first:
            print(f"resumed at step {self.progress.step}, {self.progress.seconds / 60:.1f} minutes", flush=True)

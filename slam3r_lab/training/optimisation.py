"""The optimiser, its schedule and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from .workers import Workers

_POLYNOMIALS = ((8.28721, -23.59589, 17.30039), (4.10706, -2.94785, 0.54484), (3.94869, -2.90890, 0.55182))
_UPDATE_SIZE = 0.25
"""About the root mean square of an update over the learning rate; AdamW's is near 0.2 (Moonlight, arXiv 2502.16982)."""


def orthogonalised(matrix: Tensor) -> Tensor:
    """A matrix near U V^T of the singular value decomposition of `matrix` (rows, columns), by polynomial iterations.

    Source: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024, with the polynomials of
    Polar Express (arXiv 2505.16932), three of which are enough for an optimiser's direction.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (1.01 * x.norm() + 1e-7)
    for a, b, c in _POLYNOMIALS:
        gram = x @ x.T
        x = a * x + torch.addmm(gram, gram, gram, beta=b, alpha=c) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised, for the matrices of transformer blocks; `parts` splits fused matrices
    (qkv). The workers of a run share the orthogonalising: each does its own matrices for all.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        workers: Workers,
        momentum: float = 0.95,
        weight_decay: float = 0.05,
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "parts": 1})
        self._workers = workers

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of the learning rate times _UPDATE_SIZE (root mean square over a matrix's elements)."""
        trained = [(group, p) for group in self.param_groups for p in group["params"] if p.grad is not None]
        updates = []
        for number, (group, parameter) in enumerate(trained):
            average = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
            average.lerp_(parameter.grad, 1 - group["momentum"])
            if number % self._workers.count == self._workers.rank:
                parts = torch.lerp(parameter.grad, average, group["momentum"]).chunk(group["parts"])
                updates.append(torch.cat([orthogonalised(part) * math.sqrt(max(part.shape)) for part in parts]))
            else:
                updates.append(torch.zeros_like(parameter))
        self._workers.add_up(updates)
        for (group, parameter), update in zip(trained, updates, strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(update, alpha=-group["lr"] * _UPDATE_SIZE)


def make_optimisers(model: nn.Module, learning_rate: float, workers: Workers) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of encoder and decoder blocks, AdamW for all other trainable parameters."""
    matrices: list[Tensor] = []
    fused: list[Tensor] = []
    plain: list[Tensor] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if "_blocks" in name and parameter.ndim == 2:
            (fused if name.endswith("qkv.weight") else matrices).append(parameter)
        else:
            plain.append(parameter)
    adam = torch.optim.AdamW(plain, lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.01)
    if not matrices:
        return [adam]
    return [Muon([{"params": matrices}, {"params": fused, "parts": 3}], learning_rate, workers), adam]


def learning_rate_factor(step: int, progress: float, warm_up_steps: int = 60, floor: float = 0.01) -> float:
    """Factor on the peak learning rate: linear warm-up by steps, then a cosine in `progress` (0 to 1, share of the
    planned time).
    """
    warm = min(1.0, (step + 1) / warm_up_steps)
    return warm * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


class MovingAverage(AveragedModel):
    """Exponential moving average of a model's parameters, which is what is validated and exported.

    It holds the parameters alone: the networks' tables of positions change with the size of the images. In the first
    steps it follows the model faster than `decay` says.
    """

    def __init__(self, model: nn.Module, decay: float = 0.998) -> None:
        def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
            return torch.lerp(averaged, current, 1 - min(decay, int(count) / (int(count) + 9)))

        super().__init__(nn.ParameterList(model.parameters()), avg_fn=average)
        self._names = [name for name, _ in model.named_parameters()]
        self.steps = 0

    @property
    def steps(self) -> int:
        """How many steps of the optimiser it has followed."""
        return int(self.n_averaged) - 1

    @steps.setter
    def steps(self, steps: int) -> None:
        self.n_averaged.fill_(steps + 1)  # the weights at the start count as one

    def follow(self, model: nn.Module) -> None:
        """Move towards the model's parameters."""
        self.update_parameters(nn.ParameterList(model.parameters()))

    @property
    def weights(self) -> dict[str, Tensor]:
        """The averaged parameters by name, as `load_state_dict` of the model takes them."""
        return dict(zip(self._names, (parameter.detach() for parameter in self.module.parameters()), strict=True))

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor], steps: int) -> None:
        """Go on with averaged parameters that have followed so many steps."""
        for name, parameter in self.weights.items():
            parameter.copy_(weights[name])
        self.steps = steps

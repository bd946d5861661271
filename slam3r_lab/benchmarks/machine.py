"""How fast the machine can be at most."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from slam3r_lab.benchmarks.operations import Work

ROOT = Path(__file__).resolve().parents[2]
"""The repository's root folder."""
BENCHMARKS = Path(__file__).resolve().parent
"""The folder of the benchmarks, which keeps their tables, results and training logs."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The most this machine does, in one precision, with as many threads as torch has now."""

    operations_per_second: float
    """Of a large product of matrices."""
    bytes_per_second: float
    """Of a large copy, bytes read and written."""

    def floor_ms(self, work: Work) -> float:
        """The least time that ``work`` can take here."""
        return 1e3 * max(work.operations / self.operations_per_second, work.bytes / self.bytes_per_second)

    def __str__(self) -> str:
        return f"{self.operations_per_second / 1e9:.0f} GFLOP/s, {self.bytes_per_second / 1e9:.0f} GB/s"


def measure_ceilings(device: torch.device, dtype: torch.dtype = torch.float32, budget_s: float = 1.0) -> Ceilings:
    """Measured now: the best of some products (2048 x 1024 by 1024 x 4096, larger on a GPU) and copies, so many seconds
    of each."""
    large = 4 if device.type == "cuda" else 1
    a = torch.ones(2048 * large, 1024 * large, device=device, dtype=dtype)
    b = torch.ones(1024 * large, 4096, device=device, dtype=dtype)
    source = torch.ones(2**25 * large, device=device)
    target = torch.empty_like(source)
    product = best_seconds(lambda: a @ b, device, budget_s)
    copy = best_seconds(lambda: target.copy_(source), device, budget_s)
    return Ceilings(2.0 * a.shape[0] * a.shape[1] * b.shape[1] / product, 2 * source.nbytes / copy)


def best_seconds(call: Callable[[], object], device: torch.device, budget_s: float = 1.0) -> float:
    """The least time of a call, which the device has then done, over so many seconds of calls after the first."""
    call()
    synchronize(device)
    best, ends = float("inf"), time.perf_counter() + budget_s
    while best == float("inf") or time.perf_counter() < ends:
        started = time.perf_counter()
        call()
        synchronize(device)
        best = min(best, time.perf_counter() - started)
    return best


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""Training with several processes of one thread each, which average their gradients (torch.distributed, gloo).

On a shared machine this is far quicker than one process with several threads, which wait for each other all the time.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, distributed


@dataclass(frozen=True, slots=True)
class Workers:
    """This process among all that train together."""

    rank: int = 0
    count: int = 1

    def average(self, values: Sequence[Tensor], numbers: Sequence[float]) -> list[float]:
        """Replace the tensors, in place, by their averages over all workers; returns the numbers' averages."""
        if self.count == 1:
            return list(numbers)
        flat = torch.cat([*(value.flatten() for value in values), torch.tensor(numbers, dtype=torch.float32)])
        distributed.all_reduce(flat)
        flat /= self.count
        position = 0
        for value in values:
            value.copy_(flat[position : position + value.numel()].view_as(value))
            position += value.numel()
        return [float(number) for number in flat[position:]]

    def wait(self) -> None:
        """Go on when all workers are here."""
        if self.count > 1:
            distributed.barrier()


def run_workers(function: Callable[..., None], count: int, *arguments: Any) -> None:
    """Call `function(workers, *arguments)` in `count` processes of one thread; in this process when `count` is 1.

    The processes end with this one, by SIGTERM or SIGINT too.
    """
    if count == 1:
        function(Workers(), *arguments)
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with TemporaryDirectory() as directory:
        meeting = str(Path(directory) / "meeting")
        context = torch.multiprocessing.spawn(_worker, (count, meeting, function, arguments), nprocs=count, join=False)
        try:
            while not context.join():
                pass
        finally:
            for process in context.processes:
                process.terminate()
            signal.signal(signal.SIGTERM, previous)


def _worker(rank: int, count: int, meeting: str, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=count)
    try:
        function(Workers(rank, count), *arguments)
    finally:
        distributed.destroy_process_group()

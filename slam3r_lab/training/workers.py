"""Training with several processes of one thread each, which average their gradients (DistributedDataParallel).

On a shared machine this is far quicker than one process with several threads, which wait for each other all the time.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

_LONGEST_WAIT = timedelta(days=1)
"""Of a worker for the others, the first of which may render worlds meanwhile."""
_FIRST_ERROR = "error"


@dataclass(frozen=True, slots=True)
class Workers:
    """This process among all that train together."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    """Among the workers on this machine: which GPU is its own."""

    def device(self, name: str) -> torch.device:
        """The device this worker trains on, of what the setting `name` means; raises WeightsError."""
        from slam3r_ros.networks.weights import choose_device  # here, so that workers start quickly

        chosen = choose_device(name)
        if chosen.type == "cuda" and chosen.index is None and self.count > 1:
            return torch.device("cuda", self.local_rank % torch.cuda.device_count())
        return chosen

    def averaging_gradients(self, loss: nn.Module) -> nn.Module:
        """A module that does what `loss` does, and whose gradients backward averages over all workers."""
        if self.count == 1:
            return loss
        # Which parameters a batch reaches depends on its windows, so that some may be unused.
        return DistributedDataParallel(loss, broadcast_buffers=False, find_unused_parameters=True)

    def average(self, numbers: Sequence[float], device: torch.device) -> list[float]:
        """The numbers' averages over all workers; `device` is the one that the workers train on."""
        if self.count == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float32, device=device)
        distributed.all_reduce(total)
        return [float(number) / self.count for number in total]

    def add_up(self, values: Sequence[Tensor]) -> None:
        """Replace the tensors, in place, by their sums over all workers."""
        if self.count == 1:
            return
        flat = torch.cat([value.flatten() for value in values])
        distributed.all_reduce(flat)
        position = 0
        for value in values:
            value.copy_(flat[position : position + value.numel()].view_as(value))
            position += value.numel()

    def wait(self) -> None:
        """Go on when all workers are here."""
        if self.count > 1:
            distributed.barrier()


def run_workers(function: Callable[..., None], count: int, *arguments: Any) -> None:
    """Call `function(workers, *arguments)` in `count` processes of one thread; in this process when `count` is 1.

    The processes end with this one, by SIGTERM or SIGINT too; what is registered with atexit in them is not called.
    An exception that ends a process is raised here too. Under torchrun, this process is one of those it started, and
    `count` is not used.
    """
    if under_torchrun():
        _run_under_torchrun(function, arguments)
        return
    if count == 1:
        function(Workers(), *arguments)
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # no word on each process that is ended
    with TemporaryDirectory() as name:
        directory = Path(name)
        context = torch.multiprocessing.spawn(
            _worker, (count, directory, function, arguments), nprocs=count, join=False
        )
        try:
            while not context.join():
                pass
        except (torch.multiprocessing.ProcessExitedException, torch.multiprocessing.ProcessRaisedException):
            _raise_first_error(directory)
            raise
        finally:
            for process in context.processes:
                process.terminate()
            signal.signal(signal.SIGTERM, previous)


def under_torchrun() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def _run_under_torchrun(function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    rank, count, local_rank = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if not distributed.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, timeout=_LONGEST_WAIT)
    function(Workers(rank, count, local_rank), *arguments)


def _worker(rank: int, count: int, directory: Path, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(
        backend, init_method=f"file://{directory / 'meeting'}", rank=rank, world_size=count, timeout=_LONGEST_WAIT
    )
    try:
        function(Workers(rank, count, rank), *arguments)
    except Exception as error:
        _keep_error(error, directory, rank)  # before the others notice and fail as well
        raise
    finally:
        distributed.destroy_process_group()
    _leave()


def _keep_error(error: Exception, directory: Path, rank: int) -> None:
    """Write an exception and its traceback where `_raise_first_error` finds them, unless another process was first."""
    own = directory / f"error_{rank}"
    with suppress(Exception):  # torch reports one that cannot be pickled
        pickled = pickle.dumps((error, traceback.format_exc()))
        pickle.loads(pickled)
        own.write_bytes(pickled)
        os.link(own, directory / _FIRST_ERROR)


def _raise_first_error(directory: Path) -> None:
    """Raise what the first process that failed raised, if it was kept."""
    file = directory / _FIRST_ERROR
    if file.exists():
        error, text = pickle.loads(file.read_bytes())
        raise error from RuntimeError(f"in a process of the training:\n{text}")


def _leave() -> NoReturn:
    """End this process, successfully, without taking the interpreter down.

    A thread of the process group that still holds a tensor while the interpreter ends aborts the process
    (https://github.com/pytorch/pytorch/pull/179291), and with it a run that is complete.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)

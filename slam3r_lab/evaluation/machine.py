"""What a figure of cost was measured on, and how much memory was used."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""What to write to clear_refs so that the peak of resident memory begins anew (proc(5))."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where something was measured."""

    processor: str
    cores: int
    """That this process may use."""
    memory_gib: float
    gpu: str
    """Empty without one."""
    python: str
    torch: str
    threads: int
    """Of torch."""

    @property
    def text(self) -> str:
        """In a few words."""
        gpu = f"{self.gpu}, " if self.gpu else ""
        return (
            f"{gpu}{self.processor}, {self.cores} cores, {self.memory_gib} GiB, {self.threads} threads, "
            f"Python {self.python}, torch {self.torch}"
        )


def this_machine(device: torch.device) -> Machine:
    """The machine as far as it matters for networks on ``device``."""
    return Machine(
        _processor(),
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        torch.cuda.get_device_name(device) if device.type == "cuda" else "",
        platform.python_version(),
        torch.__version__,
        torch.get_num_threads(),
    )


class PeakMemory:
    """The most memory used while it is entered."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.peak_mib: float | None = None
        """Resident memory of this process; None where the system does not say."""
        self.peak_gpu_mib: float | None = None
        """Memory that torch took on the GPU; None without one."""

    def __enter__(self) -> PeakMemory:
        with suppress(OSError):  # not Linux, or not allowed: then the peak is that of the whole process
            _CLEAR.write_text(_RESET_PEAK)
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.peak_mib = _status_mib("VmHWM")
        if self._device.type == "cuda":
            self.peak_gpu_mib = torch.cuda.max_memory_allocated(self._device) / 2**20


def commit_of_code() -> str:
    """The commit of this code, with + where it was changed since; empty where it lies in no checkout."""
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root:
            return ""
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _status_mib(name: str) -> float | None:
    """A line of /proc/self/status in MiB."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), None)


def _processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())

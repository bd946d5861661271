"""How a process that computes on the CPU is set up."""

from __future__ import annotations

import ctypes
import os
import sys

# glibc's mallopt(3) parameters.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MEBIBYTE = 1 << 20


def prepare_process() -> None:
    """Set up this process for many small tensor operations; call it before torch and NumPy are imported.

    - OpenMP threads sleep while they wait. By default they spin, which takes the cores from whatever else runs (the
      camera's driver, DDS): with another busy process on two cores a frame takes several times as long.
    - NumPy's products take one thread: they are small here, and OpenBLAS's threads spin as well.
    - glibc keeps freed memory of up to 32 MiB a block instead of handing it back and faulting it in again for every
      tensor: about a tenth of the time of a frame. Bounded: at most 512 MiB are kept.

    What the user has set in the environment (OMP_WAIT_POLICY, MALLOC_TRIM_THRESHOLD_ ...) stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 * _MEBIBYTE)
        mallopt(_M_TRIM_THRESHOLD, 512 * _MEBIBYTE)
        mallopt(_M_TOP_PAD, 64 * _MEBIBYTE)

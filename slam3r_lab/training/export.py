"""Networks written in the published file format, each file replaced at once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch

from slam3r_ros.networks.decoder import MultiviewNetwork
from slam3r_ros.networks.weights import save_network

EXPORTED_FILES = ("config.json", "model.safetensors")


def export_network(model: MultiviewNetwork, directory: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write config.json and model.safetensors of `model` into `directory` (made if missing), stored as `dtype`."""
    partial = directory.with_name(f"{directory.name}.partial")
    save_network(model, partial, dtype)
    directory.mkdir(exist_ok=True)
    for name in EXPORTED_FILES:
        os.chmod(partial / name, 0o644)  # weights are written readable for their owner only
        os.replace(partial / name, directory / name)
    shutil.rmtree(partial)

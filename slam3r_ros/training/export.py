"""Networks written in the published file format, each file replaced at once."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from slam3r_ros.networks.decoder import MultiviewNetwork
from slam3r_ros.networks.weights import save_network


def export_network(model: MultiviewNetwork, directory: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write config.json and model.safetensors of `model` into `directory` (made if missing), stored as `dtype`."""
    directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=directory) as partial:
        save_network(model, Path(partial), dtype)
        for name in ("config.json", "model.safetensors"):
            os.chmod(Path(partial) / name, 0o644)  # weights are written readable for their owner only
            os.replace(Path(partial) / name, directory / name)

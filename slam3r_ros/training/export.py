"""Networks written in the published file format: config.json and model.safetensors."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors.torch import save_file

from slam3r_ros.networks.decoder import MultiviewNetwork


def export_network(model: MultiviewNetwork, directory: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write `model` into `directory` (made if missing), each file atomically; weights are stored as `dtype`."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().to(dtype).contiguous() for name, tensor in model.state_dict().items()}
    partial = directory / "model.safetensors.partial"
    save_file(weights, partial, metadata={"format": "pt"})
    os.replace(partial, directory / "model.safetensors")
    partial = directory / "config.json.partial"
    partial.write_text(json.dumps(model.config.to_published(), indent=2) + "\n")
    os.replace(partial, directory / "config.json")

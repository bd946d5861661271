"""Checking, loading and saving weights: safetensors only, and strictly what the networks need."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from slam3r_ros.networks.config import ConfigError, NetworkConfig
from slam3r_ros.networks.decoder import MultiviewNetwork
from slam3r_ros.networks.errors import WeightsError, first_line
from slam3r_ros.networks.hub import find_weights, resolve_name
from slam3r_ros.networks.image_to_points import ImageToPoints
from slam3r_ros.networks.local_to_world import LocalToWorld
from slam3r_ros.networks.published_names import from_published, to_published
from slam3r_ros.networks.recommended_settings import recommended_settings
from slam3r_ros.settings import SlamSettings

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""The precisions that networks can compute in, by the name of the setting."""
_LAYOUTS = (
    ("{n}/config.json", "{n}/model.safetensors"),
    ("slam3r_{n}/config.json", "slam3r_{n}/model.safetensors"),
    ("{n}_config.json", "{n}.safetensors"),
)
"""Where config and weights of network {n}, which is i2p or l2w, may lie in a directory of weights."""

Network = TypeVar("Network", bound=MultiviewNetwork)


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """The two networks of SLAM3R, loaded and ready to be run."""

    i2p: ImageToPoints
    """Image-to-Points, with the encoder."""
    l2w: LocalToWorld
    """Local-to-World, which takes the encoder's tokens."""
    name: str
    """The name of the weights: 'embedded', a hub id or a directory."""
    recommended: SlamSettings
    """The engine's settings with which these weights do best; a setting that is left to the weights takes its value."""

    @property
    def device(self) -> torch.device:
        """The device on which both networks compute."""
        return self.i2p.device


def load_networks(
    weights: str = "embedded", *, device: str = "auto", precision: str = "auto", attention: str = "auto"
) -> Networks:
    """Load I2P and L2W for inference.

    weights: 'embedded'; a directory holding both networks (i2p/ and l2w/, or slam3r_i2p/ and
        slam3r_l2w/, each with config.json and model.safetensors); a hub id such as 'siyan824/slam3r', downloaded once
        and cached; or 'auto': the published ones where they have been downloaded, else 'embedded'. `Networks.name`
        says which.
    device: 'auto' (CUDA where there is one), 'cpu', 'cuda', 'cuda:1' ...
    precision: 'auto' (float16 on CUDA, float32 elsewhere), 'float32', 'bfloat16' or 'float16'.
    attention: one of `attention.BACKENDS`.

    Raises WeightsError in one sentence that says what is wrong and what to do; BackendError for attention.
    """
    on = choose_device(device)
    dtype = _choose_precision(precision, on)
    weights = resolve_name(weights)
    directory = find_weights(weights)
    recommended = recommended_settings(directory)
    i2p, l2w = load_network(ImageToPoints, directory, "i2p"), load_network(LocalToWorld, directory, "l2w")
    _check_pair(i2p.config, l2w.config, directory)
    for network in (i2p, l2w):
        network.use_precision(dtype)  # first: the device need not hold both
        network.to(on)
        network.use_attention(attention)
        network.eval().requires_grad_(False)
        network.prepare_for_inference()
    return Networks(i2p, l2w, weights, recommended)


def choose_device(name: str) -> torch.device:
    """The device that ``name`` means; raises WeightsError if it is unknown or not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise WeightsError(f"device '{name}' is unknown; use auto, cpu, cuda or cuda:<number>") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise WeightsError(
            f"device '{name}' is not there: torch sees {torch.cuda.device_count()} CUDA devices; use auto or cpu"
        )
    return device


def _choose_precision(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if name not in PRECISIONS:
        raise WeightsError(f"precision '{name}' is unknown; choose one of auto, {', '.join(PRECISIONS)}")
    return PRECISIONS[name]


def load_network(network_class: type[Network], directory: Path, name: str) -> Network:
    """Load one network, ``name`` 'i2p' or 'l2w', from a directory of weights, in float32 on the CPU.

    Raises WeightsError naming the file for weights that are missing, truncated or of another architecture.
    """
    layouts = [(directory / c.format(n=name), directory / w.format(n=name)) for c, w in _LAYOUTS]
    found = next(((c, w) for c, w in layouts if c.is_file() and w.is_file()), None)
    if found is None:
        tried = "; ".join(f"{c.relative_to(directory)} and {w.relative_to(directory)}" for c, w in layouts)
        raise WeightsError(f"weights: no {name} network in {directory}; looked for {tried}")
    config_path, weights_path = found
    try:
        config = NetworkConfig.from_file(config_path)
        with torch.device("meta"):
            network = network_class(config)
    except ConfigError as error:
        raise WeightsError(f"weights: {config_path}: {error}") from error
    network.load_state_dict(_read_state(weights_path, network), strict=True, assign=True)
    network.make_rotary()
    return network


def _read_state(path: Path, network: MultiviewNetwork) -> dict[str, Tensor]:
    """The file's tensors under our names, float32, checked against the network's shapes."""
    try:
        with safe_open(path, framework="pt") as file:
            state = {from_published(key): file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"weights: {path} is truncated or not a safetensors file ({first_line(error)}); download it again"
        ) from error
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    shapes = sorted(name for name in expected.keys() & state.keys() if tuple(state[name].shape) != expected[name])
    if missing or unknown or shapes:
        wrong = [f"{len(missing)} missing (first: {to_published(missing[0])})"] if missing else []
        wrong += [f"{len(unknown)} unknown (first: {to_published(unknown[0])})"] if unknown else []
        wrong += (
            [
                f"{len(shapes)} of another shape (first: {to_published(shapes[0])}, expected {expected[shapes[0]]}, "
                f"got {tuple(state[shapes[0]].shape)})"
            ]
            if shapes
            else []
        )
        raise WeightsError(
            f"weights: {path} does not fit the network its config.json describes: {', '.join(wrong)}; "
            "use the config.json and model.safetensors of the same network"
        )
    return state


def _check_pair(i2p: NetworkConfig, l2w: NetworkConfig, directory: Path) -> None:
    """Raise WeightsError unless L2W can take I2P's tokens and pointmaps."""
    for name in ("image_size", "patch_size", "encoder_width"):
        if getattr(i2p, name) != getattr(l2w, name):
            raise WeightsError(
                f"weights: I2P and L2W in {directory} do not belong together: "
                f"{name} is {getattr(i2p, name)} and {getattr(l2w, name)}"
            )


def save_network(network: MultiviewNetwork, directory: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write config.json and model.safetensors, in the published format, into ``directory`` (made if missing)."""
    directory.mkdir(parents=True, exist_ok=True)
    state = {to_published(name): t.detach().to("cpu", dtype).contiguous() for name, t in network.state_dict().items()}
    save_file(state, directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps(network.config.to_published(), indent=1) + "\n")

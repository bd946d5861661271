"""Finding weights by name: those of this package, a directory, or a repository of the Hugging Face hub."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from slam3r_ros.networks.errors import WeightsError, first_line

OWN_WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
"""The directory of the weights that come with this package."""
EMBEDDED = "embedded"
"""The name of the weights that come with this package."""
PUBLISHED_HUB = "siyan824/slam3r"
"""The hub id of the published weights, whose networks are in the repositories with _i2p and _l2w at the end."""
AUTO = "auto"
"""The name that means the published weights where they are on this machine, else the embedded ones."""
NETWORKS = ("i2p", "l2w")
"""The short names of the two networks."""

_HUB_FILES = ("config.json", "model.safetensors")
"""The files of a network in its repository of the hub."""


def resolve_name(weights: str) -> str:
    """The name of weights itself, but for 'auto' that of the weights which it means on this machine.

    Downloads nothing.
    """
    if weights != AUTO:
        return weights
    return PUBLISHED_HUB if all(_local_copy(PUBLISHED_HUB, name) for name in NETWORKS) else EMBEDDED


def find_weights(weights: str) -> Path:
    """The directory that ``weights`` means, downloading a hub id; raises WeightsError if there is none."""
    weights = resolve_name(weights)
    if weights == EMBEDDED:
        return OWN_WEIGHTS / weights
    if Path(weights).expanduser().is_dir():
        return Path(weights).expanduser()
    if weights.count("/") == 1 and not weights.startswith((".", "/", "~")):
        return _download(weights.removesuffix("_i2p").removesuffix("_l2w"))
    raise WeightsError(
        f"weights '{weights}' are neither '{AUTO}', nor '{EMBEDDED}', nor an existing directory, nor "
        f"a hub id such as '{PUBLISHED_HUB}'"
    )


def _hub_directory(hub_id: str) -> Path:
    """The directory into which both networks of a hub id are downloaded."""
    from huggingface_hub import constants

    return Path(constants.HF_HOME) / "slam3r_ros" / hub_id.replace("/", "--")


def _local_copy(hub_id: str, network: str) -> Path | None:
    """The directory of one network that this package or another program has downloaded; None where there is none."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    own = _hub_directory(hub_id) / network
    if all((own / name).is_file() for name in _HUB_FILES):
        return own
    cached = [try_to_load_from_cache(f"{hub_id}_{network}", name) for name in _HUB_FILES]
    directories = {Path(path).parent if isinstance(path, str) else None for path in cached}
    return directories.pop() if len(directories) == 1 else None


def _download(hub_id: str) -> Path:
    """Both repositories <hub_id>_i2p and <hub_id>_l2w, from the hub's cache or downloaded; their common directory."""
    by_hand = (
        f"on a machine with internet, download config.json and model.safetensors of '{hub_id}_i2p' and '{hub_id}_l2w' "
        "into DIR/i2p and DIR/l2w, copy DIR here and give weights:=DIR"
    )
    if importlib.util.find_spec("huggingface_hub") is None:
        raise WeightsError(
            f"weights '{hub_id}' need the package huggingface_hub to be downloaded: install it, or {by_hand}"
        )
    from huggingface_hub import snapshot_download

    directory = _hub_directory(hub_id)
    for network in NETWORKS:
        target, found = directory / network, _local_copy(hub_id, network)
        if found != target:
            try:
                if found is not None and not target.exists():
                    directory.mkdir(parents=True, exist_ok=True)
                    target.symlink_to(found, target_is_directory=True)
                else:
                    snapshot_download(f"{hub_id}_{network}", allow_patterns=list(_HUB_FILES), local_dir=target)
            except (OSError, ValueError, RuntimeError) as error:  # what the hub's client raises, offline or not found
                raise WeightsError(
                    f"weights '{hub_id}_{network}' could not be downloaded ({first_line(error)}): {by_hand}"
                ) from error
    return directory

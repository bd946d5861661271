"""What a map file says of the run that made it: weights, settings, scale."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from slam3r_ros.networks.errors import WeightsError
from slam3r_ros.networks.hub import find_weights
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.setting_spec import SettingValue, specs_of
from slam3r_ros.settings import SlamSettings

MIXED = "mixed"
"""Hash of a map file whose sessions were made with different weights: that of none."""
_HASHED_BYTES = 1 << 20
"""Bytes at each end of a file of weights by which it is told from others."""


@dataclass(frozen=True, slots=True)
class StoredScale:
    """How long a scene unit is."""

    metres_per_unit: float = 0.0
    """Metres per scene unit; 0 where it is not known."""
    source: str = "none"
    """What has told it: none, or where it comes from."""
    log_sigma: float = 0.0
    """Standard deviation of its natural logarithm; 0 where nobody knows it."""


@dataclass(frozen=True, slots=True)
class MapFacts:
    """What holds for a whole map file; kept in its table meta."""

    weights: str = ""
    """The name of the weights."""
    weights_hash: str = ""
    """By what the weights are told from others of the same name; empty where they are not files."""
    settings: dict[str, SettingValue] = field(default_factory=dict)
    """The engine's settings, public values by dotted name."""
    axes: str = "x right, y down, z forward at the first reference camera"
    """The axes of the world."""

    @classmethod
    def of(cls, networks: NetworkPair, settings: SlamSettings) -> MapFacts:
        """The facts of an engine with these networks and settings."""
        values = {}
        for spec in specs_of(SlamSettings):
            values[spec.name] = spec.to_public(settings.value(spec.name))
        return cls(networks.name, weights_hash(networks.name), values)

    def then(self, later: MapFacts) -> MapFacts:
        """The facts of a file with these and those of a later session, whose weights are those of both or `MIXED`."""
        return later if later.weights_hash == self.weights_hash else replace(later, weights_hash=MIXED)

    @property
    def slam_settings(self) -> SlamSettings:
        """The engine's settings; raises SettingError for values that are none any more."""
        return SlamSettings().with_values(self.settings)


def weights_hash(name: str) -> str:
    """SHA-256 of the ends and sizes of the files of weights, by their names; empty where there are no such files."""
    try:
        directory = find_weights(name)
    except WeightsError:
        return ""
    return _hash_of(directory)


def _hash_of(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(directory)} {size}".encode())
        with path.open("rb") as file:
            digest.update(file.read(_HASHED_BYTES))
            file.seek(max(0, size - _HASHED_BYTES))
            digest.update(file.read())
    return digest.hexdigest()

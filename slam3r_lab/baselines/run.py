"""Baselines by name."""

from __future__ import annotations

from collections.abc import Callable

from slam3r_lab.baselines.colmap import colmap
from slam3r_lab.baselines.motion import constant_velocity, identity_motion
from slam3r_lab.baselines.one_view import one_view
from slam3r_lab.baselines.result import BaselineError, BaselineResult
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_ros.networks.interfaces import NetworkPair

_WITHOUT_NETWORKS: dict[str, Callable[[ImageSequence], BaselineResult]] = {
    "identity": identity_motion,
    "constant-velocity": constant_velocity,
    "colmap": colmap,
}
_ONE_VIEW = "i2p-one-view"

BASELINES = ("identity", "constant-velocity", _ONE_VIEW, "colmap")
"""Names that `run_baseline` takes."""


def run_baseline(name: str, sequence: ImageSequence, networks: NetworkPair | None = None) -> BaselineResult:
    """Run a baseline on a sequence; ``networks`` only for ``i2p-one-view``.

    Raises BaselineError for an unknown name, for missing networks and for a package that is not installed.
    """
    if name == _ONE_VIEW:
        if networks is None:
            raise BaselineError(f"baseline '{name}' needs networks: give it the weights whose I2P it should use")
        return one_view(sequence, networks)
    if name not in _WITHOUT_NETWORKS:
        raise BaselineError(f"baseline '{name}' is unknown; known: {', '.join(BASELINES)}")
    return _WITHOUT_NETWORKS[name](sequence)

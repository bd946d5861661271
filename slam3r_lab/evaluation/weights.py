"""From the text after ``--weights`` to networks: trained ones, or oracles that answer from a sequence's truth."""

from __future__ import annotations

from collections.abc import Callable

from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_ros.networks.errors import WeightsError
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.networks.weights import load_networks

ORACLE_PREFIX, BASELINE_PREFIX = "oracle:", "baseline:"
NetworkChoice = Callable[[ImageSequence], NetworkPair]
"""The networks for a sequence: the same for all, unless they answer from its truth."""


def choose_networks(weights: str, *, device: str = "auto", precision: str = "auto") -> NetworkChoice:
    """``oracle:SETTING``, ``baseline:NAME`` (the embedded networks, which some baselines use), or what `load_networks`
    takes; loaded once.

    Raises WeightsError, also for an oracle's setting or a baseline that is unknown, and BackendError.
    """
    if weights.startswith(BASELINE_PREFIX):
        from slam3r_lab.baselines import BASELINES

        if weights.removeprefix(BASELINE_PREFIX) not in BASELINES:
            raise WeightsError(f"{weights}: unknown; known: {', '.join(BASELINE_PREFIX + name for name in BASELINES)}")
        weights = "embedded"
    if weights.startswith(ORACLE_PREFIX):
        from slam3r_lab.oracle import OracleSettings, oracle_networks
        from slam3r_lab.oracle.settings import OracleSettingError

        setting = weights.removeprefix(ORACLE_PREFIX)
        try:
            OracleSettings.parse(setting)  # raises now, not at the first sequence
        except OracleSettingError as error:
            raise WeightsError(f"{weights}: {error}") from error
        return lambda sequence: oracle_networks(sequence, setting)
    networks = load_networks(weights, device=device, precision=precision)
    return lambda sequence: networks

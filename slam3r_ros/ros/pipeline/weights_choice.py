"""Tells the user which networks `weights: auto` has chosen, and how to get the others."""

from __future__ import annotations

from slam3r_ros.networks.hub import PUBLISHED_HUB
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.ros.throttled_log import ThrottledLog


def log_weights_choice(networks: NetworkPair, log: ThrottledLog) -> None:
    """Log which networks were chosen for a user who has chosen none."""
    if networks.name != PUBLISHED_HUB:
        log.warn(
            "weights",
            f"weights: auto: the published networks are not on this machine, so the small '{networks.name}' ones are "
            f"used; weights:={PUBLISHED_HUB} downloads the published ones (3 GB, CC BY-NC-SA 4.0, for GPUs), "
            f"weights:={networks.name} says that these are meant",
        )
        return
    log.info_throttled(
        "weights",
        f"weights: auto: using the published networks '{networks.name}' found on this machine (CC BY-NC-SA)",
    )
    if networks.i2p.device.type == "cpu":
        log.warn(
            "weights on a CPU",
            f"the published networks '{networks.name}' take seconds an image on a CPU; weights:=embedded chooses the "
            "small ones of this package",
        )

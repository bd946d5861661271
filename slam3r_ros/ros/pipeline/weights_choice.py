"""Which networks `weights: auto` took, and how to get the others."""

from __future__ import annotations

from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.networks.weights import PUBLISHED_HUB
from slam3r_ros.ros.pipeline.throttled_log import ThrottledLog


def tell_which_weights(networks: NetworkPair, notices: ThrottledLog) -> None:
    """Tell the user, who has not chosen any, what was chosen."""
    if networks.name != PUBLISHED_HUB:
        notices.warn(
            "weights",
            f"weights: auto: the published networks are not on this machine, so the small '{networks.name}' ones are "
            f"used; weights:={PUBLISHED_HUB} downloads the published ones (3 GB, CC BY-NC-SA 4.0, for GPUs), "
            f"weights:={networks.name} says that these are meant",
        )
        return
    notices.note(
        "weights",
        f"weights: auto: using the published networks '{networks.name}' found on this machine (CC BY-NC-SA)",
    )
    if networks.i2p.device.type == "cpu":
        notices.warn(
            "weights on a CPU",
            f"the published networks '{networks.name}' take seconds an image on a CPU; weights:=embedded chooses the "
            "small ones of this package",
        )

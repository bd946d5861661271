"""The way images take between processes: what Fast DDS must be told so that none is lost.

Measured with 150 images of 640 x 480 at 30 Hz, best effort, two processes: with Fast DDS's defaults 3 to 12 arrive: an
image is larger than the shared memory segment (0.5 MB) and than a socket's buffer. With `UDP_LARGE` set for the
receiving process alone 150 arrive, whatever the camera's process has set, and everything else still finds the node.
`LARGE_DATA` loses nothing either, but a process with it and one without never find each other.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass

TRANSPORT_VARIABLE = "FASTDDS_BUILTIN_TRANSPORTS"
SOCKET_BYTES = 4 * 2**20
"""Room for four 640 x 480 images in a socket's buffer."""
UDP_LARGE = "UDPv4?sockets_size=4MB"
LARGE_DATA = "LARGE_DATA"
_PROFILE_VARIABLES = (
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "RMW_FASTRTPS_USE_QOS_FROM_XML",
    "ROS_DISCOVERY_SERVER",
)
_TOO_OLD = ("humble", "iron")
"""Distributions whose Fast DDS does not know the variable; they read a profile instead."""


@dataclass(frozen=True, slots=True)
class Transport:
    """Environment variables to set, and what the user should know."""

    variables: tuple[tuple[str, str], ...]
    """Name and value."""
    advice: str
    """Empty if there is nothing to do."""


def socket_limit() -> int:
    """Bytes of receive buffer that the system grants a socket, at most what is needed: it is asked."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
        granted = probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    return granted // 2 if sys.platform == "linux" else granted  # Linux tells twice what can be used


def choose_transport(
    environment: Mapping[str, str], granted: int, *, profile: str = "", closed: bool = False
) -> Transport:
    """What to set for processes that take images.

    environment: of the caller; what its user has set is left alone.
    granted: bytes, `socket_limit`.
    profile: config/fastdds.xml, for distributions that know no variable.
    closed: all processes that exchange images are started together with the same variables (replay, demo), so that
        LARGE_DATA can be taken where sockets cannot have enough room.
    """
    if TRANSPORT_VARIABLE in environment or any(name in environment for name in _PROFILE_VARIABLES):
        return Transport((), "")
    if "fastrtps" not in environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp"):
        return Transport((), "")
    if environment.get("ROS_DISTRO") in _TOO_OLD:
        chosen = (("FASTRTPS_DEFAULT_PROFILES_FILE", profile),) if profile else ()
    else:
        chosen = ((TRANSPORT_VARIABLE, UDP_LARGE),)
    if granted >= SOCKET_BYTES:
        return Transport(chosen, "")
    if closed and environment.get("ROS_DISTRO") not in _TOO_OLD:
        return Transport(((TRANSPORT_VARIABLE, LARGE_DATA),), "")
    return Transport(
        chosen,
        f"sockets may have {granted} bytes here: raw images will be lost; run "
        f"'sudo sysctl -w net.core.rmem_max={SOCKET_BYTES}' (and put it into /etc/sysctl.d), or use "
        "image_transport:=compressed",
    )

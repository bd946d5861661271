"""The way images take between processes: what Fast DDS must be told so that none is lost.

Measured with 150 images of 640 x 480 at 30 Hz, best effort, two processes, other work on the cores:

- Fast DDS's defaults: 3 to 12 arrive. An image is larger than the shared memory segment (0.5 MB) and than a socket's
  buffer.
- `UDP_LARGE` for the receiving process alone: all 150, whatever the camera's process has set, and everything else still
  finds the node. The system must allow sockets such buffers.
- Shared memory with a large segment (config/fastdds_shared_memory.xml): all 150, if the sending process has it.
- LARGE_DATA for both: 129 to 150, and a process with it and one without never find each other.
- A process that finds others on this machine only (`ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST`) gets its transports from
  rmw_fastrtps, shared memory of the usual size among them, whatever else is set: 9 to 189 of 300 arrive. All do where
  the sending process has the large segment, or the subscription is reliable.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

TRANSPORT_VARIABLE = "FASTDDS_BUILTIN_TRANSPORTS"
SOCKET_BYTES = 4 * 2**20
"""Room for four 640 x 480 images in a socket's buffer."""
UDP_LARGE = "UDPv4?sockets_size=4MB"
UDP_PROFILE, SHARED_MEMORY_PROFILE = "fastdds_udp.xml", "fastdds_shared_memory.xml"
"""Files in config/."""
_PROFILE_VARIABLES = (
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "RMW_FASTRTPS_USE_QOS_FROM_XML",
    "ROS_DISCOVERY_SERVER",
)
_WITHOUT_VARIABLE = ("humble", "iron")
"""Distributions whose Fast DDS does not know `TRANSPORT_VARIABLE`; they read a profile instead."""
_OLD_NAMES = (*_WITHOUT_VARIABLE, "jazzy")
"""Distributions that know the variable for profiles by its old name only, and those that heed `ROS_LOCALHOST_ONLY`."""
_RANGE_VARIABLE, _OLD_RANGE_VARIABLE = "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"


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


def installed_profiles() -> Path:
    """The folder of this package's config/, where it is installed; raises PackageNotFoundError where it is not."""
    return Path(get_package_share_directory("slam3r_ros")) / "config"


def use_transport(environment: MutableMapping[str, str]) -> str:
    """Set what `choose_transport` says for a process that takes images, before it begins with ROS; the advice.

    For a node that nothing else has done this for: launch files have.
    """
    try:
        profiles = installed_profiles()
    except PackageNotFoundError:  # run from the source tree, where config/ is not what ROS finds
        return ""
    transport = choose_transport(environment, socket_limit(), profiles)
    environment.update(transport.variables)
    return transport.advice


def choose_transport(
    environment: Mapping[str, str], granted: int, profiles: Path, *, closed: bool = False
) -> Transport:
    """What to set for processes that take images.

    environment: of the caller; what its user has set is left alone.
    granted: bytes, `socket_limit`.
    profiles: the folder of this package's config/.
    closed: all processes that exchange images are started together with the same variables (replay, demo).
    """
    if TRANSPORT_VARIABLE in environment or any(name in environment for name in _PROFILE_VARIABLES):
        return Transport((), "")
    if "fastrtps" not in environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp"):
        return Transport((), "")
    distribution = environment.get("ROS_DISTRO")
    profile_variable = f"{'FASTRTPS' if distribution in _OLD_NAMES else 'FASTDDS'}_DEFAULT_PROFILES_FILE"
    shared_memory = (profile_variable, str(profiles / SHARED_MEMORY_PROFILE))
    if closed:  # the least work: nothing goes through the kernel
        return Transport((shared_memory,), "")
    if (restriction := _to_this_machine(environment)) is not None:
        return Transport(
            (),
            f"{restriction} makes ROS choose Fast DDS's transports: most raw images will be lost; use "
            "image_qos:=reliable (where the camera publishes reliably) or image_transport:=compressed, or start the "
            f"camera's process with {'='.join(shared_memory)}",
        )
    chosen = (TRANSPORT_VARIABLE, UDP_LARGE)
    if distribution in _WITHOUT_VARIABLE:
        chosen = (profile_variable, str(profiles / UDP_PROFILE))
    if granted >= SOCKET_BYTES:
        return Transport((chosen,), "")
    return Transport(
        (chosen,),
        f"sockets may have {granted} bytes here: raw images will be lost; run "
        f"'sudo sysctl -w net.core.rmem_max={SOCKET_BYTES}' (and put it into /etc/sysctl.d), or use "
        "image_transport:=compressed",
    )


def _to_this_machine(environment: Mapping[str, str]) -> str | None:
    """The setting that keeps ROS to this machine, as VARIABLE=VALUE; None where nothing does."""
    distribution = environment.get("ROS_DISTRO")
    if distribution in _OLD_NAMES and environment.get(_OLD_RANGE_VARIABLE) == "1":
        return f"{_OLD_RANGE_VARIABLE}=1"
    if distribution != "humble" and environment.get(_RANGE_VARIABLE) == "LOCALHOST":
        return f"{_RANGE_VARIABLE}=LOCALHOST"
    return None

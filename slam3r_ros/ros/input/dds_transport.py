"""What Fast DDS must be set to so that no image is lost between processes.

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

import shutil
import socket
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

TRANSPORT_VARIABLE = "FASTDDS_BUILTIN_TRANSPORTS"
"""Environment variable by which Fast DDS chooses its transports."""
SOCKET_BYTES = 4 * 2**20
"""Bytes of a socket's receive buffer: room for four rgb8 images of 640 x 480."""
SHARED_MEMORY_BYTES = 4 * 17 * 2**20
"""Bytes of shared memory that `SHARED_MEMORY_PROFILE` takes for camera, node, the demo's recorder and its live page, a
segment for each. Where there is less, the camera, which starts last, would get none."""
UDP_LARGE = "UDPv4?sockets_size=4MB"
"""Value of `TRANSPORT_VARIABLE` for UDP with socket buffers of `SOCKET_BYTES`."""
UDP_PROFILE, SHARED_MEMORY_PROFILE = "fastdds_udp.xml", "fastdds_shared_memory.xml"
"""Names of the profiles in config/: UDP with large socket buffers, and shared memory with a large segment."""
_PROFILE_VARIABLES = (
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "RMW_FASTRTPS_USE_QOS_FROM_XML",
    "ROS_DISCOVERY_SERVER",
)
"""Environment variables that show that the user has set Fast DDS up: then nothing is changed."""
_WITHOUT_VARIABLE = ("humble", "iron")
"""Distributions whose Fast DDS does not know `TRANSPORT_VARIABLE`: a profile is used for them instead."""
_OLD_NAMES = (*_WITHOUT_VARIABLE, "jazzy")
"""Distributions that know the profile variable by its old name only, and that obey `ROS_LOCALHOST_ONLY`."""
_RANGE_VARIABLE, _OLD_RANGE_VARIABLE = "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"
"""Environment variables that keep discovery to this machine, since Iron and before it."""


@dataclass(frozen=True, slots=True)
class TransportChoice:
    """The transport chosen for a process: environment variables to set, and advice for the user."""

    variables: tuple[tuple[str, str], ...]
    """Name and value of each environment variable."""
    advice: str
    """What the user should do so that no image is lost; empty if nothing is needed."""


def socket_limit() -> int:
    """Return the bytes of receive buffer that the system grants a socket which asks for `SOCKET_BYTES`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
        granted = probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    return granted // 2 if sys.platform == "linux" else granted  # Linux reports twice what can be used


def udp_with_sockets(room: int) -> str:
    """Return the value of `TRANSPORT_VARIABLE` for UDP with socket buffers of so many bytes, at least 1 MB."""
    return f"UDPv4?sockets_size={room >> 20}MB"


def shared_memory_room(folder: Path = Path("/dev/shm")) -> int:
    """Return the free bytes of shared memory; 0 where there is none."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def installed_profiles() -> Path:
    """Return the installed config/ folder of this package; raises PackageNotFoundError if it is not installed."""
    return Path(get_package_share_directory("slam3r_ros")) / "config"


def apply_transport(environment: MutableMapping[str, str]) -> str:
    """Set the variables of `choose_transport` in this process's environment, and return its advice.

    To be called before ROS is initialised, by a node that no launch file has started: launch files do the same.
    """
    try:
        profiles = installed_profiles()
    except PackageNotFoundError:  # run from the source tree, where config/ is not what ROS finds
        return ""
    choice = choose_transport(environment, socket_limit(), profiles)
    environment.update(choice.variables)
    return choice.advice


def choose_transport(
    environment: Mapping[str, str], granted: int, profiles: Path, *, closed: bool = False, shared_bytes: int = 0
) -> TransportChoice:
    """Choose the transport of a process that receives images.

    environment: that of the process; what its user has set in it is left alone.
    granted: bytes of receive buffer that a socket gets, as `socket_limit` returns them.
    profiles: the config/ folder of this package, which holds the profiles.
    closed: whether all processes that exchange images are started together with the same variables (replay, demo).
    shared_bytes: free bytes of shared memory, as `shared_memory_room` returns them; used where `closed`.
    """
    if TRANSPORT_VARIABLE in environment or any(name in environment for name in _PROFILE_VARIABLES):
        return TransportChoice((), "")
    if "fastrtps" not in environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp"):
        return TransportChoice((), "")
    distribution = environment.get("ROS_DISTRO")
    profile_variable = f"{'FASTRTPS' if distribution in _OLD_NAMES else 'FASTDDS'}_DEFAULT_PROFILES_FILE"
    shared_memory = (profile_variable, str(profiles / SHARED_MEMORY_PROFILE))
    if closed and shared_bytes >= SHARED_MEMORY_BYTES:  # the least work: nothing goes through the kernel
        return TransportChoice((shared_memory,), "")
    if (restriction := _localhost_setting(environment)) is not None:
        return TransportChoice(
            (),
            f"{restriction} makes ROS choose Fast DDS's transports: most raw images will be lost; use "
            "image_qos:=reliable (where the camera publishes reliably) or image_transport:=compressed, or start the "
            f"camera's process with {'='.join(shared_memory)}",
        )
    chosen = (TRANSPORT_VARIABLE, UDP_LARGE)
    if distribution in _WITHOUT_VARIABLE:
        chosen = (profile_variable, str(profiles / UDP_PROFILE))
    if granted >= SOCKET_BYTES:
        return TransportChoice((chosen,), "")
    return TransportChoice(
        (chosen,),
        f"sockets may have {granted} bytes here: raw images will be lost; run "
        f"'sudo sysctl -w net.core.rmem_max={SOCKET_BYTES}' (and put it into /etc/sysctl.d), or use "
        "image_transport:=compressed",
    )


def _localhost_setting(environment: Mapping[str, str]) -> str | None:
    """Return the setting that keeps discovery to this machine, as VARIABLE=VALUE; None where nothing does."""
    distribution = environment.get("ROS_DISTRO")
    if distribution in _OLD_NAMES and environment.get(_OLD_RANGE_VARIABLE) == "1":
        return f"{_OLD_RANGE_VARIABLE}=1"
    if distribution != "humble" and environment.get(_RANGE_VARIABLE) == "LOCALHOST":
        return f"{_RANGE_VARIABLE}=LOCALHOST"
    return None

"""A node in a process of its own, what it holds of the system, and a camera for it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from slam3r_ros.msg import SlamStatus

from slam3r_lab.soak.messages import good_image
from slam3r_ros.cli.process_guard import ProcessGuard
from slam3r_ros.ros.node import make_executor
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.ros.start import start_ros

_PATIENCE_S = 60.0
_SETTLING_S = 3.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class SoakError(AssertionError):
    """The node did not do what it must; the message says what."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a process holds of the system."""

    threads: int
    descriptors: int
    """Number of open files and sockets."""
    resident_mib: float
    """Resident memory, MiB."""
    segments: int
    """Number of files in /dev/shm that the process has mapped."""


def holdings_of(process_id: int) -> Holdings:
    """Return what a process holds now."""
    place = Path(f"/proc/{process_id}")
    mapped = {line.split()[-1] for line in (place / "maps").read_text().splitlines() if "/dev/shm/" in line}
    pages = int((place / "statm").read_text().split()[1])
    return Holdings(
        len(list((place / "task").iterdir())),
        len(list((place / "fd").iterdir())),
        pages * _PAGE_BYTES / 2**20,
        len(mapped),
    )


class NodeProcess:
    """The node, and a camera beside it."""

    def __init__(self, process: subprocess.Popen[bytes], camera: Node, log: Path) -> None:
        self.process, self.camera, self.log = process, camera, log
        self.statuses: list[SlamStatus] = []
        """Statuses received, newest last."""
        camera.create_subscription(SlamStatus, "/slam3r/status", self._on_status, LATCHED)
        self._images: Any = None
        self._number = 0
        self._is_settled = False
        self._state = camera.create_client(ChangeState, "/slam3r/change_state")

    def holdings(self) -> Holdings:
        """Return what the node holds now."""
        return holdings_of(self.process.pid)

    def change(self, transition: int) -> None:
        """Make a lifecycle transition; raises SoakError if it fails."""
        if not self._state.wait_for_service(_PATIENCE_S):
            raise SoakError("the node offers no lifecycle service")
        if not self._is_settled:  # the way of the answers is found a little later than the service
            time.sleep(_SETTLING_S)
            self._is_settled = True
        future = self._state.call_async(ChangeState.Request(transition=Transition(id=transition)))
        self.wait(future.done, f"transition {transition}")
        if not future.result().success:
            raise SoakError(f"transition {transition} failed: {self.log.read_text()[-300:]}")

    def publish(self, count: int, period_s: float, *, reliable: bool = True, copies: int = 1, first: int = -1) -> None:
        """Be a camera for so many images; each is sent ``copies`` times. ``first`` is the number of the first image,
        which gives its stamp; by default they go on where the last ones ended."""
        if self._images is None:
            reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
            self._images = self.camera.create_publisher(Image, "image", QoSProfile(depth=20, reliability=reliability))
            self.wait(lambda: self._images.get_subscription_count() > 0, "the node subscribes to images")
        self._number = first if first >= 0 else self._number
        for _ in range(count):
            for _ in range(copies):
                self._images.publish(good_image(self._number))
            self._number += 1
            time.sleep(period_s)

    def remove_camera(self) -> None:
        """Destroy the publisher of images; the next `publish` makes another."""
        self.camera.destroy_publisher(self._images)
        self._images = None

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something; raises SoakError when it does not happen, or the node ends."""
        end_s = time.monotonic() + _PATIENCE_S
        while not condition():
            if self.process.poll() is not None:
                raise SoakError(f"the node ended with {self.process.returncode}: {self.log.read_text()[-300:]}")
            if time.monotonic() > end_s:
                raise SoakError(f"did not happen within {_PATIENCE_S:.0f} s: {what}")
            time.sleep(0.01)

    def wait_until_mapping(self) -> None:
        """Wait until an image that is sent now is processed."""
        before = self.statuses[-1].frames_processed if self.statuses else 0
        self.publish(3, 0.05)
        self.wait(lambda: self.statuses[-1].frames_processed > before, "images are processed")

    def _on_status(self, status: SlamStatus) -> None:
        self.statuses.append(status)
        del self.statuses[:-10]


@contextmanager
def node_process(guard: ProcessGuard, folder: Path, domain: int, **parameters: object) -> Iterator[NodeProcess]:
    """A node with these parameters (``__`` for a dot), and a camera, in a domain of their own."""
    given = [w for name, value in parameters.items() for w in ("-p", f"{name.replace('__', '.')}:={value}")]
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    command = [sys.executable, "-m", "slam3r_ros.ros", "--ros-args", "-p", "status_period:=0.1", *given]
    context = Context()
    start_ros([], context)
    camera = Node("camera", context=context)
    executor = make_executor(context)
    executor.add_node(camera)
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin, name="soak_camera", daemon=True)
    try:
        with guard.running(command, folder / "node.log") as process:
            node = NodeProcess(process, camera, folder / "node.log")
            thread.start()
            yield node
    finally:
        stop.set()
        if thread.is_alive():
            thread.join(20.0)
        executor.shutdown()
        camera.destroy_node()
        context.try_shutdown()

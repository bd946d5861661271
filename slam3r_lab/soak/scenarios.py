"""What is done to the node, and what must be true afterwards. Each returns one sentence with its figures, or raises."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lifecycle_msgs.msg import Transition
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from slam3r_lab.soak.fuzzing import MOST_TOGETHER, fuzzed_node
from slam3r_lab.soak.messages import messages
from slam3r_lab.soak.node_process import NodeProcess, SoakError, node_process
from slam3r_ros.cli.process_guard import ProcessGuard
from slam3r_ros.io.sources.example import EXAMPLE

_SECONDS_A_SAMPLE = 2.0


@dataclass(frozen=True, slots=True)
class Soak:
    """What the scenarios share."""

    guard: ProcessGuard
    folder: Path
    """A folder for logs and maps."""
    tiny_weights: Path
    domain: int
    starts: int
    """Number of starts and stops."""
    messages: int
    """Number of messages of the fuzzer."""
    seconds: float
    """Length of the looped recording."""


def starts_and_stops(soak: Soak) -> str:
    """Configure, activate, map, deactivate and clean up again and again: nothing that the node holds may grow."""
    with node_process(soak.guard, soak.folder, soak.domain, weights=soak.tiny_weights, autostart="false") as node:
        held = []
        for _ in range(soak.starts):
            node.change(Transition.TRANSITION_CONFIGURE)
            node.change(Transition.TRANSITION_ACTIVATE)
            node.publish(3, 0.03)
            node.wait(lambda: bool(node.statuses), "a status")
            node.change(Transition.TRANSITION_DEACTIVATE)
            node.change(Transition.TRANSITION_CLEANUP)
            held.append(node.holdings())
    first, last = held[min(4, len(held) - 1)], held[-1]
    grown = [f"{first.threads} to {last.threads} threads", f"{first.descriptors} to {last.descriptors} descriptors"]
    grown += [
        f"{first.segments} to {last.segments} segments",
        f"{first.resident_mib:.0f} to {last.resident_mib:.0f} MiB",
    ]
    text = f"{soak.starts} starts and stops, after the fifth and the last: {', '.join(grown)}"
    has_leak = last.threads > first.threads or last.descriptors > first.descriptors or last.segments > first.segments
    if has_leak or last.resident_mib > first.resident_mib + 1.0 * soak.starts:
        raise SoakError(text)
    return text


def looped_recording(soak: Soak) -> str:
    """A recording that begins again at its end, each time with a new map: memory must be flat."""
    play = ["play", str(EXAMPLE), "--loop", "--clock", "--rate", "60", "--topic", "/image"]
    with node_process(soak.guard, soak.folder, soak.domain, weights="embedded", use_sim_time="true") as node:
        command = [sys.executable, "-m", "slam3r_ros.cli.main", *play, "--wait-for-subscriber"]
        with soak.guard.running(command, soak.folder / "player.log") as player:
            node.wait(lambda: bool(node.statuses) and node.statuses[-1].map_points > 0, "a map")
            samples, end_s = [], time.monotonic() + soak.seconds
            while time.monotonic() < end_s:
                node.wait(lambda: player.poll() is None, "the player plays")
                samples.append(node.holdings())
                time.sleep(_SECONDS_A_SAMPLE)
            status = node.statuses[-1]
    third = max(len(samples) // 3, 1)
    middle, late = samples[third : 2 * third] or samples, samples[-third:]
    means = [sum(sample.resident_mib for sample in part) / len(part) for part in (middle, late)]
    text = (
        f"{soak.seconds:.0f} s of a loop, {status.frames_received} images: {means[0]:.0f} MiB in the second third, "
        f"{means[1]:.0f} in the last; threads {middle[0].threads} to {late[-1].threads}"
    )
    if means[1] > 1.05 * means[0] or late[-1].threads > middle[0].threads + 2:
        raise SoakError(text)
    return text


def strange_messages(soak: Soak) -> str:
    """Images and camera_info from a fuzzer through DDS and the node's callbacks: none ends the node."""
    with fuzzed_node(soak.tiny_weights, soak.domain) as fuzzed:

        @settings(
            max_examples=-(-soak.messages // MOST_TOGETHER), deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(data=st.data())
        def send(data: st.DataObject) -> None:
            fuzzed.send([data.draw(messages(fuzzed.messages + place)) for place in range(MOST_TOGETHER)])

        send()
        status = fuzzed.status
        return (
            f"{fuzzed.messages} messages, {fuzzed.sent} of them images: {status.frames_processed} mapped, "
            f"{status.frames_rejected} refused, {status.frames_dropped} dropped; the node maps on"
        )


def camera_faults(soak: Soak) -> str:
    """A camera that is slow, silent, doubled, gone and back, and whose clock jumps: the node maps on."""
    with node_process(
        soak.guard, soak.folder, soak.domain, weights=soak.tiny_weights, image_queue=20, image_timeout=1.0,
        flush_after=0.3, save_on_exit=soak.folder / "faults.ply", **{"pose.minimum_inliers": "0.0"},
    ) as node:  # fmt: skip
        steps: dict[str, Callable[[], None]] = {
            "usual": lambda: node.publish(10, 0.03, first=5000),
            "slow": lambda: node.publish(3, 0.8),
            "silent for 2 s": lambda: time.sleep(2.0),
            "each image twice": lambda: node.publish(10, 0.03, copies=2),
            "gone and back": lambda: _return(node),
            "a minute back": lambda: node.publish(10, 0.03, first=5000 - 60 * 30),
            "a day ahead": lambda: node.publish(10, 0.03, first=30 * 86_400),
        }
        for step in steps.values():
            step()
            node.wait_until_mapping()
        status = node.statuses[-1]
    saved = sorted(path.name for path in soak.folder.glob("faults*.ply"))
    text = f"{', '.join(steps)}: {status.frames_processed} of {status.frames_received} images mapped, saved {saved}"
    if node.process.returncode != 0 or "faults.ply" not in saved:
        raise SoakError(f"{text}; the node ended with {node.process.returncode}")
    return text


def camera_killed(soak: Soak) -> str:
    """The camera's process is killed, as a crash or a power loss does it, and another one comes: the node says that no
    image comes, and maps on."""
    play = [sys.executable, "-m", "slam3r_ros.cli.main", "play", str(EXAMPLE), "--topic", "/image", "--rate", "10"]
    mapped = []
    with node_process(
        soak.guard, soak.folder, soak.domain, weights=soak.tiny_weights, image_queue=20, image_timeout=1.0,
        **{"pose.minimum_inliers": "0.0"},
    ) as node:  # fmt: skip
        for _ in range(2):
            before = node.statuses[-1].frames_processed if node.statuses else 0
            with soak.guard.running([*play, "--wait-for-subscriber"], soak.folder / "player.log") as player:
                node.wait(
                    lambda seen=before: bool(node.statuses) and node.statuses[-1].frames_processed > seen + 20,  # type: ignore[misc]
                    "images are mapped",
                )
                player.kill()
            node.wait(lambda: "no image for" in node.log.read_text(), "the warning that no image comes")
            mapped.append(node.statuses[-1].frames_processed - before)
    return f"{mapped[0]} images mapped, the camera killed, told, {mapped[1]} images of the next one mapped"


def other_quality_of_service(soak: Soak) -> str:
    """A best-effort camera and a node that asks for reliable images: it says so, and takes those of the next camera."""
    with node_process(
        soak.guard, soak.folder, soak.domain, weights=soak.tiny_weights, image_qos="reliable"
    ) as node:  # fmt: skip
        quality = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        other = node.camera.create_publisher(Image, "image", quality)
        node.wait(lambda: "set image_qos: sensor_data" in node.log.read_text(), "the warning")
        node.wait_until_mapping()
        node.camera.destroy_publisher(other)
    return "told, and images of a reliable camera are mapped"


def full_disk(soak: Soak) -> str:
    """No room for the map when the node ends: it says so, ends with 1 and leaves the map saved before."""
    path = soak.folder / "full.ply"
    path.write_text("of before")
    with node_process(soak.guard, soak.folder, soak.domain, weights="embedded", save_on_exit=path) as node:
        node.publish(20, 0.1)
        node.wait(lambda: node.statuses[-1].map_points > 0, "a map")
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (4096, 4096))  # as a disk that is full after 4 KiB
    left = sorted(p.name for p in soak.folder.iterdir() if p.name.startswith((".full", "full")))
    text = f"ended with {node.process.returncode}, the earlier map is {path.read_text()[:9]!r}, left: {left}"
    if node.process.returncode != 1 or path.read_text() != "of before" or left != ["full.ply"]:
        raise SoakError(text)
    return text


def _return(node: NodeProcess) -> None:
    node.remove_camera()
    time.sleep(1.0)
    node.publish(10, 0.03)


SCENARIOS: dict[str, Callable[[Soak], str]] = {
    "messages": strange_messages,
    "camera": camera_faults,
    "killed": camera_killed,
    "qos": other_quality_of_service,
    "disk": full_disk,
    "starts": starts_and_stops,
    "loop": looped_recording,
}
"""The scenarios by the names of the command line."""

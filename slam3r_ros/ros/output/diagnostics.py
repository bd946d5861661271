"""The node's health on /diagnostics (REP-107)."""

from __future__ import annotations

from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from slam3r_ros.msg import SlamStatus
from slam3r_ros.ros.output.messages import header

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@dataclass(frozen=True, slots=True)
class Health:
    """One line of diagnostics."""

    level: bytes
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class InputHealth:
    """What is known of the images coming in."""

    topic: str
    silent_s: float
    """Seconds without an image."""
    timeout_s: float
    """Seconds after which that is worth a warning."""
    time_jumps: int
    drops_lately: int
    """Images dropped since the last diagnostics."""
    rejected_lately: int
    """Images refused since the last diagnostics."""


def judge_input(values: InputHealth, status: SlamStatus) -> Health:
    """How the images come in."""
    if status.state == SlamStatus.PAUSED:
        return Health(OK, "paused")
    if values.silent_s > values.timeout_s:
        return Health(WARN, f"no image for {values.silent_s:.0f} s on '{values.topic}'")
    if values.rejected_lately:
        return Health(WARN, f"{values.rejected_lately} images refused in the last second: {status.last_message}")
    return Health(OK, f"{status.frame_rate_received:.1f} images a second")


def judge_mapping(values: InputHealth, status: SlamStatus) -> Health:
    """How the mapping goes."""
    if status.state == SlamStatus.LOST:
        return Health(WARN, f"lost: {status.reason}")
    if values.drops_lately:
        return judge_overload(status)
    return Health(OK, f"{status.state_name}: {status.reason}")


def judge_overload(status: SlamStatus) -> Health:
    """What it means that images are dropped: nothing but fewer frames, until too few are left for a stride."""
    rates = f"{status.frame_rate:.1f} of {status.frame_rate_received:.1f} images a second are mapped, the newest ones"
    if not status.stride:
        return Health(OK, rates)
    kept = f"a window still spans {status.stride} images a step, {status.effective_stride:.1f} frames"
    if status.frame_rate * status.stride >= status.frame_rate_received:
        return Health(OK, f"{rates}; {kept}")
    return Health(
        WARN,
        f"{rates}: less than one in {status.stride}, so windows span more time than they should and overlap less; "
        "move the camera slowly, or choose smaller networks or a faster machine",
    )


def running(stamp_ns: int, name: str, values: InputHealth, status: SlamStatus) -> DiagnosticArray:
    """Diagnostics of a node that is configured."""
    image_values = {
        "topic": values.topic,
        "images received": status.frames_received,
        "images received per second": f"{status.frame_rate_received:.2f}",
        "seconds without an image": f"{values.silent_s:.1f}",
        "images refused": status.frames_rejected,
        "images dropped": status.frames_dropped,
        "backward jumps of time": values.time_jumps,
    }
    map_values = {
        "weights": status.weights,
        "state": status.state_name,
        "reason": status.reason,
        "frames processed": status.frames_processed,
        "frames processed per second": f"{status.frame_rate:.2f}",
        "frames lost": status.frames_lost,
        "stride in images": status.stride,
        "stride in frames": f"{status.effective_stride:.2f}",
        "map points": status.map_points,
        "milliseconds per frame": f"{status.latency_total_ms:.1f}",
        "milliseconds from stamp to pose": f"{status.latency_stamp_to_pose_ms:.1f}",
        "resident memory in MiB": status.memory_resident_bytes >> 20,
        "last message": status.last_message,
    }
    return DiagnosticArray(
        header=header(stamp_ns, ""),
        status=[
            _entry(f"{name}: images", judge_input(values, status), image_values),
            _entry(f"{name}: mapping", judge_mapping(values, status), map_values),
        ],
    )


def not_running(stamp_ns: int, name: str, problem: str) -> DiagnosticArray:
    """Diagnostics of a node that is not active: an error if something keeps it from it."""
    health = Health(ERROR, problem) if problem else Health(OK, "not active")
    return DiagnosticArray(header=header(stamp_ns, ""), status=[_entry(f"{name}: mapping", health, {})])


def _entry(name: str, health: Health, values: dict[str, object]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(
        level=health.level, name=name, message=health.message, hardware_id=name.split(":")[0], values=pairs
    )

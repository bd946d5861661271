"""The node's health on /diagnostics (REP-107)."""

from __future__ import annotations

from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from slam3r_ros.msg import SlamStatus
from slam3r_ros.ros.output.messages import header

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
"""The levels of a diagnostic status that this node uses."""


@dataclass(frozen=True, slots=True)
class Health:
    """Level and message of one diagnostic status."""

    level: bytes
    """OK, WARN or ERROR."""
    message: str
    """What the level is about, one sentence."""


@dataclass(frozen=True, slots=True, eq=False)
class InputStatistics:
    """How images have come in since the last diagnostics."""

    topic: str
    """Name of the image topic."""
    silent_s: float
    """Seconds since the last image, or since the node was activated where none has come."""
    timeout_s: float
    """Seconds without an image after which there is a warning."""
    time_jumps: int
    """Backward jumps of time since the node was configured."""
    recently_dropped: int
    """Images dropped since the last diagnostics."""
    recently_rejected: int
    """Images rejected since the last diagnostics."""
    missing: int = 0
    """Images that were published and never arrived, since the node was configured."""
    recently_missing: int = 0
    """The same since the last diagnostics."""


def input_health(values: InputStatistics, status: SlamStatus) -> Health:
    """Return the health of the image topic."""
    if status.state == SlamStatus.PAUSED:
        return Health(OK, "paused")
    if values.silent_s > values.timeout_s:
        return Health(WARN, f"no image for {values.silent_s:.0f} s on '{values.topic}'")
    if values.recently_rejected:
        return Health(WARN, f"{values.recently_rejected} images refused in the last second: {status.last_message}")
    if values.recently_missing:
        return Health(WARN, f"{values.recently_missing} images lost on the way in the last second: see the log")
    return Health(OK, f"{status.frame_rate_received:.1f} images a second")


def mapping_health(values: InputStatistics, status: SlamStatus) -> Health:
    """Return the health of tracking and mapping."""
    if status.state == SlamStatus.LOST:
        return Health(WARN, f"lost: {status.reason}")
    if values.recently_dropped:
        return overload_health(status)
    return Health(OK, f"{status.state_name}: {status.reason}")


def overload_health(status: SlamStatus) -> Health:
    """Return the health while images are dropped: that is normal, until too few are left for a stride."""
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


def active_diagnostics(stamp_ns: int, name: str, values: InputStatistics, status: SlamStatus) -> DiagnosticArray:
    """Return the diagnostics of an active node."""
    image_values = {
        "topic": values.topic,
        "images received": status.frames_received,
        "images received per second": f"{status.frame_rate_received:.2f}",
        "seconds without an image": f"{values.silent_s:.1f}",
        "images refused": status.frames_rejected,
        "images dropped": status.frames_dropped,
        "images lost on the way": values.missing,
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
            _entry(f"{name}: images", input_health(values, status), image_values),
            _entry(f"{name}: mapping", mapping_health(values, status), map_values),
        ],
    )


def inactive_diagnostics(stamp_ns: int, name: str, problem: str) -> DiagnosticArray:
    """Return the diagnostics of a node that is not active; an error if a problem keeps it from being active."""
    health = Health(ERROR, problem) if problem else Health(OK, "not active")
    return DiagnosticArray(header=header(stamp_ns, ""), status=[_entry(f"{name}: mapping", health, {})])


def _entry(name: str, health: Health, values: dict[str, object]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(
        level=health.level, name=name, message=health.message, hardware_id=name.split(":")[0], values=pairs
    )

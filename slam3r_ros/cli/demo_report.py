"""The figures of a demo."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from slam3r_ros.cli.trajectory_error import TrajectoryError
from slam3r_ros.io.files import replacing
from slam3r_ros.io.terminal import say


class StepTimes:
    """Says before each step of the demo how long it should take, and measures it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        """How long each step took, in their order."""

    @contextmanager
    def step(self, name: str, expected: str) -> Iterator[None]:
        """A block that is a step; `expected` says how long it should take, where that is known."""
        say(f"{name}: {expected}" if expected else name, is_trouble=True)
        began_s = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - began_s, 1)


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""How a log changes its colour."""
_DDS_ERROR = re.compile(r"\[RTPS_\w+ Error\] *(?P<text>.*?)( -> Function .*)?$")
"""An error of Fast DDS in a log."""


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What a demo measured."""

    source: str
    weights: str
    frames_sent: int
    """Images that the player published."""
    frames_received: int
    """Those that arrived at the node."""
    frames_lost_in_transport: int
    frames_processed: int
    """Those that the engine took."""
    frames_dropped: int
    """Those that a newer one replaced before the engine was free."""
    frames_rejected: int
    """Those that could not be used."""
    frames_tracked: int
    """Those with a pose."""
    seconds: float
    """Duration of the playing."""
    frames_sent_per_second: float
    frames_processed_per_second: float
    latency_p50_ms: float | None
    """From an image's stamp, taken when it is published, to the arrival of its pose in another process; all poses.

    Images of the initial window have waited for the window to fill.
    """
    latency_p95_ms: float | None
    tracking_latency_p50_ms: float | None
    """The same of images published after the first pose had arrived."""
    tracking_latency_p95_ms: float | None
    state: str
    """The node's state at the end."""
    reason: str
    map_points: int
    keyframes: int
    memory_mib: int
    """Resident memory of the node."""
    trajectory_error: TrajectoryError | None
    """None where there is no truth, or nothing to compare with it."""
    transport_errors: tuple[str, ...] = ()
    """What Fast DDS has reported as errors, such as that a segment of shared memory could not be made."""

    step_seconds: dict[str, float] = field(default_factory=dict)
    """How long each step of the demo took, in their order."""

    def write(self, path: Path) -> None:
        """As JSON; raises OutputError."""
        with replacing(path) as file:
            file.write((json.dumps(asdict(self), indent=2) + "\n").encode())

    def text(self) -> str:
        """For people."""
        rows = [
            ("source", f"{self.source}, weights '{self.weights}'"),
            ("images sent", f"{self.frames_sent} in {self.seconds:.1f} s, {self.frames_sent_per_second:.1f} a second"),
            ("received", f"{self.frames_received}, {self.frames_lost_in_transport} lost in transport"),
            ("processed", f"{self.frames_processed}, {self.frames_processed_per_second:.1f} a second"),
            ("dropped, refused", f"{self.frames_dropped}, {self.frames_rejected}"),
            ("tracked", f"{self.frames_tracked}; at the end {self.state}: {self.reason}"),
            ("stamp to pose", _latency_text(self.latency_p50_ms, self.latency_p95_ms)),
            ("once tracking", _latency_text(self.tracking_latency_p50_ms, self.tracking_latency_p95_ms)),
            ("map", f"{self.map_points} points, {self.keyframes} keyframes, {self.memory_mib} MiB"),
            ("trajectory error", self._error_text()),
        ]
        rows.append(("time taken", ", ".join(f"{name} {took:.0f} s" for name, took in self.step_seconds.items())))
        rows += [("error of Fast DDS", text) for text in self.transport_errors]
        return "\n".join(f"{name:<17} {value}" for name, value in rows)

    def _error_text(self) -> str:
        error = self.trajectory_error
        if error is None:
            return "not measured: no truth, or fewer than three poses that move"
        return (
            f"{error.rmse_m:.3f} m RMSE after alignment, {error.percent_of_path:.1f} % of {error.path_m:.1f} m "
            f"({error.compared} poses)"
        )


def _latency_text(median_ms: float | None, slow_ms: float | None) -> str:
    if median_ms is None or slow_ms is None:
        return "no poses"
    return f"{median_ms:.0f} ms (median), {slow_ms:.0f} ms (95 %)"


def transport_errors(*logs: Path) -> tuple[str, ...]:
    """What Fast DDS has written to logs as errors, each kind once."""
    found: dict[str, None] = {}
    for log in logs:
        for line in _COLOUR.sub("", log.read_text(errors="replace")).splitlines():
            if (error := _DDS_ERROR.search(line)) is not None:
                found.setdefault(re.sub(r"fast(dds|rtps)_\w+", "a segment", error["text"]))
    return tuple(found)

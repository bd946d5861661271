"""The node over real DDS: rates, sizes and transports of a camera against frames, latency, drops, CPU and memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from slam3r_ros.msg import SlamStatus

from slam3r_lab.benchmarks.machine import ROOT
from slam3r_lab.benchmarks.topic_camera import TOPIC, Sent
from slam3r_ros.ros.input.dds_transport import choose_transport, installed_profiles, socket_limit
from slam3r_ros.ros.tools.recorder import ReceivedMessage, Recorder

SECONDS = 8.0
"""Of images, in each case."""
START_LIMIT_S, STOP_LIMIT_S = 120.0, 20.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Case:
    """A camera."""

    rate_hz: float
    size: str
    compressed: bool

    def __str__(self) -> str:
        return f"{self.size} {'compressed' if self.compressed else 'raw'} {self.rate_hz:g} Hz"


CASES = tuple(
    Case(rate_hz, size, compressed)
    for compressed in (False, True)
    for size in ("640x480", "1920x1080")
    for rate_hz in (20.0, 30.0, 60.0)
)


@dataclass(frozen=True, slots=True)
class Latency:
    """From an image's stamp, taken just before it is published, to the arrival of what it gave, in another process."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @classmethod
    def of(cls, arrived: Sequence[ReceivedMessage]) -> Latency | None:
        """Of what came; None of nothing."""
        if not arrived:
            return None
        p50, p95, p99 = np.percentile([each.latency_ms for each in arrived], [50, 95, 99]).round(1).tolist()
        return cls(len(arrived), p50, p95, p99)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one case gave. Frames a second, latency and CPU are counted from the first pose on."""

    sent: Sent
    received: int
    lost_in_transport: int
    dropped: int
    """Replaced by newer ones because the engine was busy."""
    refused: int
    processed: int
    processed_per_second: float
    pose: Latency | None
    pose_later: Latency | None
    """Of the second half of these poses: without what follows the first map."""
    cloud: Latency | None
    effective_stride: float
    stride: int
    cpu: float
    """Of the node's process, in processor cores kept busy."""
    memory_mib: int
    """Most resident memory of the node's process."""
    stage_ms: dict[str, float]
    load: float
    """Of the machine over the last minute, everything on it."""
    settled: str
    """The node's state at the end."""


def measure_topic(video: Path, cases: Sequence[Case], seconds: float, parameters: Sequence[str]) -> dict[str, Measured]:
    """Each case with a node of its own. Raises RuntimeError if a process fails, TimeoutError if the node is silent."""
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
    os.environ.update(choose_transport(os.environ, socket_limit(), installed_profiles(), closed=True).variables)
    measured = {}
    for case in cases:
        measured[str(case)] = measure_case(video, case, seconds, parameters)
        print(_row(str(case), measured[str(case)]), flush=True)
    return measured


def measure_case(video: Path, case: Case, seconds: float, parameters: Sequence[str]) -> Measured:
    """One case."""
    transport = "compressed" if case.compressed else "raw"
    given = ["weights:=embedded", "status_period:=0.1", f"image_transport:={transport}", *parameters]
    words = [word for text in given for word in ("-p", text)] + ["-r", f"image:={TOPIC}"]
    with tempfile.TemporaryDirectory() as directory, Recorder() as recorder:
        report = Path(directory) / "camera.json"
        play = [str(video), "--size", case.size, "--rate", str(case.rate_hz), "--seconds", str(seconds)]
        play += ["--report", str(report), *(["--compressed"] if case.compressed else [])]
        node_command = [sys.executable, "-m", "slam3r_ros.ros", "--ros-args", "--log-level", "warn", *words]
        camera_command = [sys.executable, "-m", "slam3r_lab.benchmarks.topic_camera", *play]
        with _running(node_command) as node, _running(camera_command) as camera:
            _wait_for_pose(recorder, node, camera)
            began, cpu = time.monotonic(), _cpu_seconds(node.pid)
            first_status, first_pose_ns = recorder.record.statuses[-1], recorder.record.poses[0].arrival_ns
            if camera.wait(START_LIMIT_S) != 0:
                raise RuntimeError(f"{case}: the camera failed")
            cpu_used = (_cpu_seconds(node.pid) - cpu) / (time.monotonic() - began)
            time.sleep(1.0)
            record, status, sent = recorder.record, recorder.record.statuses[-1], Sent(**json.loads(report.read_text()))
            memory = _most_memory_mib(node.pid)
        poses = [pose for pose in record.poses if pose.stamp_ns > first_pose_ns]
        span_ns = _stamp_ns(status) - _stamp_ns(first_status)
        return Measured(
            sent=sent,
            received=status.frames_received,
            lost_in_transport=sent.images - status.frames_received,
            dropped=status.frames_dropped,
            refused=status.frames_rejected,
            processed=status.frames_processed,
            processed_per_second=round((status.frames_processed - first_status.frames_processed) / span_ns * 1e9, 1),
            pose=Latency.of(poses),
            pose_later=Latency.of(poses[len(poses) // 2 :]),
            cloud=Latency.of([cloud for cloud in record.clouds if cloud.stamp_ns > first_pose_ns]),
            effective_stride=round(status.effective_stride, 2),
            stride=status.stride,
            cpu=round(cpu_used, 2),
            memory_mib=memory,
            stage_ms={
                name: round(getattr(status, f"latency_{name}_ms"), 1)
                for name in ("decode", "encode", "i2p", "retrieval", "l2w", "pose", "map", "publish")
            },
            load=round(os.getloadavg()[0], 1),
            settled=status.state_name,
        )


def topic_table(measured: dict[str, Measured]) -> list[str]:
    """Markdown."""
    lines = [
        "| camera | processed a second | stamp to pose, ms: p50, p95, p99 | in the second half | stamp to cloud "
        "| sent: lost, dropped, refused | stride: images, frames | CPU, cores | MiB | load of the machine |",
        "|---" * 10 + "|",
    ]
    return lines + [_row(case, values) for case, values in measured.items()]


def as_values(measured: dict[str, Measured]) -> dict[str, object]:
    """For JSON."""
    return {case: asdict(values) for case, values in measured.items()}


def _row(case: str, values: Measured) -> str:
    cells = [
        case,
        f"{values.processed_per_second:.1f}",
        _latency_text(values.pose),
        _latency_text(values.pose_later),
        _latency_text(values.cloud),
        f"{values.sent.images}: {values.lost_in_transport}, {values.dropped}, {values.refused}",
        f"{values.stride}, {values.effective_stride:.1f}",
        f"{values.cpu:.2f}",
        str(values.memory_mib),
        f"{values.load:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def _latency_text(latency: Latency | None) -> str:
    return "none" if latency is None else f"{latency.p50_ms:.0f}, {latency.p95_ms:.0f}, {latency.p99_ms:.0f}"


@contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process, ended with SIGINT if it still runs."""
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for_pose(recorder: Recorder, *processes: subprocess.Popen[bytes]) -> None:
    """Raises RuntimeError if a process ends before, TimeoutError if there is none."""
    ends = time.monotonic() + START_LIMIT_S
    while not recorder.record.poses:
        if any(process.poll() is not None for process in processes):
            raise RuntimeError("node or camera ended before there was a pose")
        if time.monotonic() > ends:
            raise TimeoutError(f"no pose within {START_LIMIT_S:.0f} s")
        time.sleep(0.02)


def _cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _most_memory_mib(pid: int) -> int:
    """The most memory that a process has had resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))


def _stamp_ns(status: SlamStatus) -> int:
    """Stamp of the newest image processed."""
    return int(status.header.stamp.sec * 10**9 + status.header.stamp.nanosec)

"""The node over real DDS: rates, sizes and transports of a camera against frames, latency, drops, CPU and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from slam3r_ros.msg import SlamStatus

from slam3r_lab.benchmarks.machine import ROOT
from slam3r_lab.benchmarks.topic_camera import INFO_TOPIC, TOPIC, Sent
from slam3r_ros.cli.process_guard import end_process
from slam3r_ros.cli.trajectory_error import TrajectoryError, compare_with_truth
from slam3r_ros.io.tum import read_trajectory
from slam3r_ros.ros.input.dds_transport import choose_transport, installed_profiles, socket_limit
from slam3r_ros.ros.tools.recorder import ReceivedMessage, Record, Recorder
from slam3r_ros.types import StampedPose

SECONDS = 8.0
"""Of images, in each case."""
BUSY_LOOP = "while True: pass"
"""The Python program that keeps one core busy."""
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


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What all cases of a run have in common."""

    parameters: tuple[str, ...] = ()
    """Parameters of the node, NAME:=VALUE."""
    busy_cores: int = 0
    """Number of processes beside the node that compute without end."""
    with_camera_info: bool = False
    """Whether the camera publishes its intrinsics."""
    seconds: float = SECONDS
    """Of images, in each case."""


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
    poses_per_second: float
    keyframes_per_second: float
    """Frames registered by the networks."""
    thinned: int
    """Frames that were to be keyframes while mapping was busy."""
    error_percent: float | None
    """Absolute trajectory error of the poses as they were published, as a share of the true path; None where the video
    has no truth."""
    error_cm: float | None
    """The same in centimetres."""
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


def measure_topic(video: Path, cases: Sequence[Case], circumstances: Circumstances) -> dict[str, Measured]:
    """Each case with a node of its own. Raises RuntimeError if a process fails, TimeoutError if the node is silent."""
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
    os.environ.update(choose_transport(os.environ, socket_limit(), installed_profiles(), closed=True).variables)
    measured = {}
    with ExitStack() as busy:
        for _ in range(circumstances.busy_cores):
            busy.enter_context(_running([sys.executable, "-c", BUSY_LOOP]))
        for case in cases:
            measured[str(case)] = measure_case(video, case, circumstances)
            print(_row(str(case), measured[str(case)]), flush=True)
    return measured


def measure_case(video: Path, case: Case, circumstances: Circumstances) -> Measured:
    """One case."""
    transport = "compressed" if case.compressed else "raw"
    given = ["weights:=embedded", "status_period:=0.1", f"image_transport:={transport}", *circumstances.parameters]
    words = [word for text in given for word in ("-p", text)]
    words += ["-r", f"image:={TOPIC}", "-r", f"camera_info:={INFO_TOPIC}"]
    with tempfile.TemporaryDirectory() as directory, Recorder() as recorder:
        report, shown = Path(directory) / "camera.json", Path(directory) / "shown.json"
        play = [str(video), "--size", case.size, "--rate", str(case.rate_hz), "--seconds", str(circumstances.seconds)]
        play += ["--report", str(report), "--shown", str(shown)]
        play += ["--compressed"] * case.compressed + ["--camera-info"] * circumstances.with_camera_info
        node_command = [sys.executable, "-m", "slam3r_ros.ros", "--ros-args", "--log-level", "warn", *words]
        camera_command = [sys.executable, "-m", "slam3r_lab.benchmarks.topic_camera", *play]
        with _running(node_command) as node, _running(camera_command) as camera:
            _wait_for_pose(recorder, node, camera)
            began, cpu = time.monotonic(), _cpu_seconds(node.pid)
            first_status = recorder.record.statuses[-1]
            if camera.wait(START_LIMIT_S) != 0:
                raise RuntimeError(f"{case}: the camera failed")
            cpu_used = (_cpu_seconds(node.pid) - cpu) / (time.monotonic() - began)
            time.sleep(1.0)
            record, sent = recorder.record, Sent(**json.loads(report.read_text()))
            memory = _most_memory_mib(node.pid)
        comparison = _compare(record.poses, video, json.loads(shown.read_text()))
        return _measured(record, first_status, sent, comparison, cpu_used, memory)


def _measured(
    record: Record,
    first: SlamStatus,
    sent: Sent,
    error: TrajectoryError | None,
    cpu: float,
    memory_mib: int,
) -> Measured:
    """What a case gave, of what was received; ``first`` is the status when the first pose came."""
    status, first_pose_ns = record.statuses[-1], record.poses[0].arrival_ns
    poses = [pose for pose in record.poses if pose.stamp_ns > first_pose_ns]
    span_s = (_stamp_ns(status) - _stamp_ns(first)) * 1e-9
    return Measured(
        sent=sent,
        received=status.frames_received,
        lost_in_transport=sent.images - status.frames_received,
        dropped=status.frames_dropped,
        refused=status.frames_rejected,
        processed=status.frames_processed,
        processed_per_second=round((status.frames_processed - first.frames_processed) / span_s, 1),
        poses_per_second=round(_rate(poses), 1),
        keyframes_per_second=round((status.frames_registered - first.frames_registered) / span_s, 1),
        thinned=status.keyframes_thinned,
        error_percent=None if error is None else round(error.percent_of_path, 2),
        error_cm=None if error is None else round(100 * error.rmse_m, 2),
        pose=Latency.of(poses),
        pose_later=Latency.of(poses[len(poses) // 2 :]),
        cloud=Latency.of([cloud for cloud in record.clouds if cloud.stamp_ns > first_pose_ns]),
        effective_stride=round(status.effective_stride, 2),
        stride=status.stride,
        cpu=round(cpu, 2),
        memory_mib=memory_mib,
        stage_ms={
            name: round(getattr(status, f"latency_{name}_ms"), 1)
            for name in ("decode", "encode", "i2p", "retrieval", "l2w", "pose", "map", "publish")
        },
        load=round(os.getloadavg()[0], 1),
        settled=status.state_name,
    )


def _rate(poses: Sequence[ReceivedMessage]) -> float:
    """Poses a second, by their stamps."""
    return (len(poses) - 1) / ((poses[-1].stamp_ns - poses[0].stamp_ns) * 1e-9) if len(poses) > 1 else 0.0


def _compare(poses: Sequence[ReceivedMessage], video: Path, shown: Sequence[tuple[int, int]]) -> TrajectoryError | None:
    """Compare published poses with the truth beside the video (poses.txt with a pose of each image); None without."""
    file = (video if video.is_dir() else video.parent) / "poses.txt"
    if not file.is_file():
        return None
    true = [pose.T_world_camera for pose in read_trajectory(file)]
    truth = {stamp_ns: true[image] for stamp_ns, image in shown}
    estimated = [StampedPose(each.stamp_ns, each.T_parent_camera) for each in poses if each.T_parent_camera is not None]
    comparison = compare_with_truth(estimated, truth)
    return None if comparison is None else comparison.error


def topic_table(measured: dict[str, Measured]) -> list[str]:
    """Markdown."""
    lines = [
        "| camera | processed a second | poses a second | stamp to pose, ms: p50, p95, p99 | in the second half "
        "| stamp to cloud | trajectory error, cm, % | keyframes a second: mapped; thinned in all "
        "| sent: lost, dropped, refused | stride: images, frames | CPU, cores | MiB | load of the machine |",
        "|---" * 13 + "|",
    ]
    return lines + [_row(case, values) for case, values in measured.items()]


def as_values(measured: dict[str, Measured]) -> dict[str, object]:
    """For JSON."""
    return {case: asdict(values) for case, values in measured.items()}


def _row(case: str, values: Measured) -> str:
    cells = [
        case,
        f"{values.processed_per_second:.1f}",
        f"{values.poses_per_second:.1f}",
        _latency_text(values.pose),
        _latency_text(values.pose_later),
        _latency_text(values.cloud),
        "unknown" if values.error_cm is None else f"{values.error_cm:.1f}, {values.error_percent:.2f}",
        f"{values.keyframes_per_second:.1f}; {values.thinned}",
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
        end_process(process, STOP_LIMIT_S)


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

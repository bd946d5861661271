"""The node's state as a SlamStatus message."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from slam3r_ros.engine.slam_status import SlamStatus as EngineStatus
from slam3r_ros.metric_scale.estimator import ScaleEstimate
from slam3r_ros.msg import SlamStatus
from slam3r_ros.ros.output.messages import header, time_message
from slam3r_ros.ros.threads.counters import Counters
from slam3r_ros.ros.throttled_log import LogEntry
from slam3r_ros.types import State

_STATM = Path("/proc/self/statm")
"""Where Linux tells a process how much memory it uses, in pages; the second number is the resident part."""
_STATES = {**{state.value: state.name for state in State}, SlamStatus.PAUSED: "PAUSED"}
"""Name of each state, by its number in the message."""


@dataclass(frozen=True, slots=True, eq=False)
class StatusValues:
    """What a status message is made of, apart from the memory of the process."""

    engine: EngineStatus
    """State and counters of the engine."""
    counters: Counters
    """Counts and rates of images."""
    stage_ms: dict[str, float]
    """Mean milliseconds of each stage, the engine's and the node's own."""
    paused: bool
    """Whether ~/pause has been called: images are ignored."""
    newest_stamp_ns: int
    """Stamp of the newest image that was processed, integer nanoseconds; 0 before the first."""
    newest_problem: LogEntry
    """The newest warning or error."""
    map_frame: str
    """Name of the map's frame."""
    weights: str
    """Name of the networks in use."""
    scale: float
    """Metres per scene unit; 0 where unknown."""
    scale_source: str
    """Where the scale comes from: none, known, or the name of the source that estimates it."""
    scale_estimate: ScaleEstimate | None
    """The scale as far as it is estimated; None where it is not."""
    mapping_load: str = ""
    """Whether mapping keeps up with the keyframes, in one sentence; empty where tracking waits for mapping."""


def status_message(values: StatusValues) -> SlamStatus:
    """Return the message."""
    engine, counters, stage_ms = values.engine, values.counters, values.stage_ms
    state = SlamStatus.PAUSED if values.paused else engine.state.value
    ahead_ms = stage_ms.get("encode_ahead", 0.0)
    own_ms = stage_ms.get("decode", 0.0) + ahead_ms + stage_ms.get("publish", 0.0)
    return SlamStatus(
        header=header(values.newest_stamp_ns, values.map_frame),
        state=state,
        state_name=_STATES[state],
        weights=values.weights,
        reason="paused by ~/pause" if values.paused else engine.reason,
        frames_received=counters.received.count,
        frames_processed=counters.processed.count,
        frames_dropped=counters.dropped,
        frames_rejected=counters.rejected,
        frames_registered=engine.registered,
        frames_lost=engine.lost_frames,
        keyframes=engine.keyframes,
        loops_closed=engine.loops_closed,
        keyframes_thinned=engine.keyframes_thinned,
        map_points=engine.map_points,
        stride=engine.stride,
        effective_stride=max(1.0, engine.stride / engine.images_per_frame) if engine.stride else 0.0,
        latency_decode_ms=stage_ms.get("decode", 0.0),
        latency_encode_ms=stage_ms.get("encode", 0.0) + ahead_ms,
        latency_i2p_ms=stage_ms.get("i2p", 0.0),
        latency_retrieval_ms=stage_ms.get("retrieval", 0.0),
        latency_l2w_ms=stage_ms.get("l2w", 0.0),
        latency_pose_ms=stage_ms.get("pose", 0.0) + stage_ms.get("tracks", 0.0),
        latency_map_ms=sum(stage_ms.get(stage, 0.0) for stage in ("points", "keyframes", "map")),
        latency_publish_ms=stage_ms.get("publish", 0.0),
        latency_total_ms=stage_ms.get("total", 0.0) + own_ms,
        latency_stamp_to_pose_ms=counters.stamp_to_pose_ms,
        frame_rate_received=counters.received.per_second(),
        frame_rate=counters.processed.per_second(),
        keyframe_rate=counters.registered.per_second(),
        mapping_load=values.mapping_load,
        memory_resident_bytes=resident_bytes(),
        memory_gpu_bytes=torch.cuda.memory_allocated() if torch.cuda.is_available() else 0,
        scale=values.scale,
        scale_source=values.scale_source,
        scale_sigma=0.0 if values.scale_estimate is None else values.scale_estimate.sigma,
        scale_observations=0 if values.scale_estimate is None else values.scale_estimate.count,
        last_message=values.newest_problem.text,
        last_message_stamp=time_message(values.newest_problem.stamp_ns),
    )


def resident_bytes() -> int:
    """Return the bytes of resident memory of this process; 0 where the system does not tell."""
    if not _STATM.is_file():
        return 0
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

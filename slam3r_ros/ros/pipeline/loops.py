"""Which thread does what: the tracking thread, the mapping thread, and the queue between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from slam3r_ros.engine.live_slam import LiveSlam
from slam3r_ros.engine.slam import Slam
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.ros.input.frame_builder import FrameBuilder, ReadyFrame
from slam3r_ros.ros.input.image_subscription import ReceivedImage
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.ros.pipeline.live_runner import LiveRunner, Work
from slam3r_ros.ros.pipeline.map_recording import MapRecording
from slam3r_ros.ros.pipeline.slam_runner import EngineRunner, NodeCallbacks, SlamRunner
from slam3r_ros.ros.threads.back_pressure import BackPressure
from slam3r_ros.ros.threads.counters import Counters
from slam3r_ros.ros.threads.drop_oldest_queue import DropOldestQueue
from slam3r_ros.ros.threads.mapping_thread import MappingThread
from slam3r_ros.ros.threads.tracking_thread import TrackingThread
from slam3r_ros.ros.throttled_log import ThrottledLog
from slam3r_ros.settings import SlamSettings


@dataclass(frozen=True, slots=True, eq=False)
class LoopParts:
    """What the two loops of the node are made of."""

    images: DropOldestQueue[ReceivedImage]
    builder: FrameBuilder
    outputs: Outputs
    log: ThrottledLog
    callbacks: NodeCallbacks
    counters: Counters
    recording: MapRecording
    image_queue: int
    """Largest number of frames that wait for an engine that does all on the mapping thread."""


@dataclass(frozen=True, slots=True, eq=False)
class Loops:
    """The tracking thread, and what the mapping thread runs."""

    runner: EngineRunner
    tracking: TrackingThread[ReceivedImage, ReadyFrame]
    discard: Callable[[], None]
    """Discards what waits for the mapping thread."""
    new_mapping_thread: Callable[[float], MappingThread[ReadyFrame] | MappingThread[Work]]
    """Makes a mapping thread, which is to be started, of the time without a frame after which waiting ones are mapped,
    seconds; 0 leaves them waiting."""


def make_engine(networks: NetworkPair, settings: SlamSettings) -> Slam:
    """The engine on two threads where the settings leave tracking something to do, else the one on one thread."""
    resolved = settings.resolved(networks.recommended)
    return LiveSlam(networks, resolved) if LiveSlam.can_run(resolved) else Slam(networks, resolved)


def make_loops(slam: Slam, parts: LoopParts) -> Loops:
    """The loops of an engine of `make_engine`."""
    shared = (parts.outputs, parts.log, parts.callbacks, parts.counters, parts.recording)
    if isinstance(slam, LiveSlam):
        work: DropOldestQueue[Work] = DropOldestQueue(1)
        live = LiveRunner(slam, *shared, work)
        tracking = TrackingThread(parts.images, parts.builder, live.track, work.clear, parts.counters)
        thread = partial(MappingThread, work, live, BackPressure())
        return Loops(live, tracking, work.clear, thread)
    ready: DropOldestQueue[ReadyFrame] = DropOldestQueue(parts.image_queue)
    runner, pressure = SlamRunner(slam, *shared), BackPressure()
    tracking = TrackingThread(parts.images, parts.builder, ready.put, ready.clear, parts.counters, pressure)
    frames_thread = partial(MappingThread, ready, runner, pressure)
    return Loops(runner, tracking, ready.clear, frames_thread)

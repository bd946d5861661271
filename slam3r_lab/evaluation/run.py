"""A sequence through the engine, as the node would push it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from slam3r_lab.evaluation.machine import PeakMemory
from slam3r_lab.evaluation.samples import EstimatedPixels, PixelChoice, estimated_pixels
from slam3r_lab.sequences.sequence import ImageSequence, SequenceError
from slam3r_ros.engine.events import Update
from slam3r_ros.engine.slam import Slam
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame, InputError, MapPoints, MapUpdate, PoseUpdate, Registration, StampedPose, State


@dataclass(frozen=True, slots=True)
class Tracking:
    """How steadily frames were tracked."""

    frames: int
    """Frames of the sequence."""
    processed: int
    """Those that could be read and were given to the engine."""
    registered: int
    """Those with a world pointmap."""
    tracked: int
    """Those with a pose that the engine trusts."""
    tracked_percent: float
    """`tracked` over `frames`."""
    losses: int
    """Times that tracking was lost: a tracked frame followed by a lost one."""
    lost_frames: int
    frames_to_initialise: int | None
    """Frames pushed when the first answer came; None if none did."""
    seconds_to_initialise: float | None
    """The same by the stamps."""
    final_state: str
    keyframes: int
    map_points: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What it took. Not the same in two runs."""

    frames_per_second: float | None
    """Frames over the time spent in the engine; reading images is not counted. None where it took no time."""
    seconds: float
    peak_memory_mib: float | None
    """Most resident memory of the process while it ran, evaluation included; None where the system does not say."""
    peak_gpu_memory_mib: float | None
    """None without a GPU."""


@dataclass(slots=True, eq=False)
class Run:
    """What the engine made of a sequence; frames by their number among those pushed."""

    tracking: Tracking
    cost: Cost
    trajectory: list[StampedPose]
    map_points: MapPoints
    map_confidence: float
    """Confidence from which a point is in the map."""
    positions: list[int]
    """Position in the sequence of each frame pushed."""
    estimated: dict[int, EstimatedPixels] = field(default_factory=dict)
    registrations: list[Registration] = field(default_factory=list)


class _Recorder:
    """Takes note of the engine's answers."""

    def __init__(self, choice: PixelChoice) -> None:
        self._choice = choice
        self.estimated: dict[int, EstimatedPixels] = {}
        self.registrations: list[Registration] = []
        self.frames_to_initialise: int | None = None
        self._states: dict[int, State] = {}  # by frame, in their order

    def take(self, updates: list[Update], pushed: int) -> None:
        """Note the answers to the ``pushed``-th frame."""
        if updates and self.frames_to_initialise is None:
            self.frames_to_initialise = pushed
        for update in updates:
            if isinstance(update, PoseUpdate):
                self._states[update.index] = State.TRACKING
            elif isinstance(update, MapUpdate):
                self._take_map_update(update)

    def _take_map_update(self, update: MapUpdate) -> None:
        self._states[update.index] = update.state
        confidence = update.pointmaps.confidence
        self.estimated[update.index] = estimated_pixels(update, self._choice.of(update.index, confidence.size))
        if update.registration is not None and not self._is_known(update.registration):
            self.registrations.append(update.registration)

    @property
    def tracked(self) -> int:
        """Frames with a pose that is trusted."""
        return sum(state is State.TRACKING for state in self._states.values())

    @property
    def losses(self) -> int:
        """How often a lost frame followed a tracked one."""
        states = [self._states[index] for index in sorted(self._states)]
        return sum((a, b) == (State.TRACKING, State.LOST) for a, b in itertools.pairwise(states))

    def _is_known(self, registration: Registration) -> bool:
        """Whether it came with the frame before, which was registered in the same call."""
        return bool(self.registrations) and self.registrations[-1] is registration


def run_sequence(
    sequence: ImageSequence,
    networks: NetworkPair,
    settings: SlamSettings,
    *,
    with_intrinsics: bool,
    choice: PixelChoice,
    progress: Callable[[], object] = lambda: None,
) -> Run:
    """Push every frame, flush, and keep what metrics need. ``progress`` is called after each frame.

    Frames that cannot be read are left out and named in the sequence's `problems`.
    """
    slam = Slam(networks, settings)
    recorder, positions = _Recorder(choice), []
    seconds = 0.0
    with PeakMemory(networks.i2p.device) as memory:
        for position, frame in _frames(sequence, with_intrinsics):
            positions.append(position)
            started = time.perf_counter()
            updates = slam.push(frame)
            seconds += time.perf_counter() - started
            recorder.take(updates, len(positions))
            progress()
        started = time.perf_counter()
        updates = slam.flush()
        if networks.i2p.device.type == "cuda":
            torch.cuda.synchronize(networks.i2p.device)
        seconds += time.perf_counter() - started
        recorder.take(updates, len(positions))
    cost = Cost(len(positions) / seconds if seconds > 0 else None, seconds, memory.peak_mib, memory.peak_gpu_mib)
    return Run(
        _tracking(sequence, slam, recorder, positions),
        cost,
        slam.trajectory(),
        slam.map_points(),
        slam.settings.map.point_confidence,
        positions,
        recorder.estimated,
        recorder.registrations,
    )


def _frames(sequence: ImageSequence, with_intrinsics: bool) -> Iterator[tuple[int, Frame]]:
    """Position and frame of every image that can be read."""
    for position, each in enumerate(sequence.frames):
        try:
            image = sequence.image(each)
            yield position, Frame(each.stamp_ns, image, sequence.camera_of(image) if with_intrinsics else None)
        except (SequenceError, InputError) as error:
            sequence.report(f"left out: {error}")


def _tracking(sequence: ImageSequence, slam: Slam, recorder: _Recorder, positions: list[int]) -> Tracking:
    status, frames = slam.status(), recorder.frames_to_initialise
    seconds = None
    if frames is not None:
        first, last = (sequence.frames[positions[number]].stamp_ns for number in (0, frames - 1))
        seconds = (last - first) / 1e9
    return Tracking(
        frames=len(sequence),
        processed=len(positions),
        registered=status.registered,
        tracked=recorder.tracked,
        tracked_percent=100 * recorder.tracked / len(sequence),
        losses=recorder.losses,
        lost_frames=status.lost_frames,
        frames_to_initialise=frames,
        seconds_to_initialise=seconds,
        final_state=status.state.name,
        keyframes=len(slam.keyframes()),
        map_points=status.map_points,
    )

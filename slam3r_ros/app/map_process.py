"""The process that maps: one run after the other, with the networks loaded once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection

from slam3r_ros.app.limits import AppTuning
from slam3r_ros.app.messages import (
    MAP_FILE_NAME,
    NetworkChoice,
    RunOutcome,
    RunProgress,
    RunRequest,
    ShownEvent,
    StopRequest,
)
from slam3r_ros.engine.events import MappedPlace, Update
from slam3r_ros.engine.failures import engine_failure
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.slam import Slam
from slam3r_ros.io.files import FileFormatError, OutputError
from slam3r_ros.io.sources import Source, SourceError, open_source
from slam3r_ros.map_file.facts import MapFacts
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.map_file.writer import MapFileWriter
from slam3r_ros.networks.attention import BackendError
from slam3r_ros.networks.cpu import prepare_process
from slam3r_ros.networks.errors import WeightsError
from slam3r_ros.networks.graph_capture import with_cuda_graphs
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.networks.weights import load_networks
from slam3r_ros.setting_spec import SettingError
from slam3r_ros.types import Frame, MapUpdate, PoseUpdate
from slam3r_ros.viewer.child_process import ignore_interrupts

_REFUSALS = (SettingError, WeightsError, BackendError, SourceError, OutputError, FileFormatError)
"""What is raised where something given cannot be used."""


def answer_runs(connection: Connection) -> None:
    """What the process does: answer each `RunRequest` with `RunProgress` and a `RunOutcome`, until the pipe is
    closed."""
    ignore_interrupts()
    prepare_process()
    shelf = NetworkShelf()
    while True:
        try:
            request = connection.recv()
            if isinstance(request, RunRequest):
                connection.send(MappingRun(request, shelf, connection).outcome())
        except (EOFError, OSError):  # the page's process has ended
            return


class NetworkShelf:
    """The networks that were loaded last."""

    def __init__(self) -> None:
        self._choice: NetworkChoice | None = None
        self._networks: NetworkPair | None = None

    def take(self, choice: NetworkChoice) -> NetworkPair:
        """These networks, loaded unless they were asked for last. Raises WeightsError and BackendError."""
        if self._networks is None or self._choice != choice:
            self._networks = None
            loaded = load_networks(choice.weights, device=choice.device, precision=choice.precision)
            self._networks, self._choice = with_cuda_graphs(loaded), choice
        return self._networks


class MappingRun:
    """One run: a source through the engine, into files."""

    def __init__(
        self, request: RunRequest, shelf: NetworkShelf, connection: Connection, tuning: AppTuning | None = None
    ) -> None:
        self._request, self._shelf, self._connection = request, shelf, connection
        self._tuning = tuning or AppTuning()
        self._events: list[ShownEvent] = []
        self._problems: list[str] = []
        self._map_file: MapFileWriter | None = None
        self._frames = 0
        self._total: int | None = None
        self._started_s = self._sent_s = time.monotonic()
        self._is_stopped = False

    def outcome(self) -> RunOutcome:
        """Do it all. Raises EOFError or OSError where nobody listens any more."""
        request = self._request
        try:
            with open_source(request.source, topic=request.topic) as source:
                networks = self._shelf.take(request.networks)
                slam = Slam(networks, request.settings.engine)
                facts = MapFacts.of(networks, slam.settings)
                with MapFileWriter(request.folder / MAP_FILE_NAME, facts, self._problems.append) as self._map_file:
                    self._map(slam, source)
                    written = self._map_file.close()
        except _REFUSALS as error:
            return RunOutcome(str(error), is_mapped=False, problems=tuple(self._problems))
        problems = tuple(self._problems)
        if written is None:
            return RunOutcome(f"nothing could be mapped: {slam.status().reason}", is_mapped=False, problems=problems)
        end = "stopped: " if self._is_stopped else ""
        with MapFile(written.path) as file:
            count = len(file.points())
        sentence = f"{end}{count:,} points from {self._frames} images in {self._seconds():.1f}\N{NO-BREAK SPACE}s"
        return RunOutcome(sentence, is_mapped=True, problems=problems)

    def _map(self, slam: Slam, source: Source) -> None:
        """Push every frame, and note what was wrong. Raises SettingError for a camera that does not fit."""
        settings, failure = self._request.settings.source, ""
        self._total = None if source.length is None else -(-source.length // settings.every)
        self._started_s = time.monotonic()
        self._send(slam)
        for frame in self._until_stopped(settings.frames(iter(source))):
            failure = engine_failure(partial(self._take_all, partial(slam.push, frame)))
            if failure:
                break
            self._frames += 1
            if time.monotonic() - self._sent_s >= self._tuning.progress_period_s:
                self._send(slam)
        self._send(slam, is_finishing=True)
        flush_failure = engine_failure(partial(self._take_all, slam.flush))
        failure = failure or flush_failure
        self._send(slam, is_finishing=True)
        self._problems += source.problems
        if failure:
            self._problems.append(f"the engine failed at image {self._frames + 1}: {failure}; what is mapped is kept")

    def _until_stopped(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The frames until a `StopRequest` comes. Raises EOFError or OSError where nobody listens any more."""
        for frame in frames:
            while self._connection.poll():
                self._is_stopped |= isinstance(self._connection.recv(), StopRequest)
            if self._is_stopped:
                return
            yield frame

    def _take_all(self, step: Callable[[], list[Update]]) -> None:
        """Keep all events of a step of the engine."""
        for event in step():
            self._take(event)

    def _take(self, event: Update) -> None:
        """Keep an event for the page; of a registered frame only its pose, for its points come with its view. The map
        file gets all of it."""
        if self._map_file is not None:
            self._map_file.write(event)
        if isinstance(event, MappedPlace):
            return
        if isinstance(event, KeyframeView):
            self._events.append(replace(event, added=None))  # the page has them with the view
        elif not isinstance(event, MapUpdate):
            self._events.append(event)
        elif event.is_tracked and event.pose is not None:
            self._events.append(PoseUpdate(event.index, event.header, event.pose, is_keyframe=True))

    def _send(self, slam: Slam, *, is_finishing: bool = False) -> None:
        rate, status = self._frames / max(self._seconds(), 1e-9), slam.status()
        if self._map_file is not None:
            self._map_file.set_voxel_size(status.voxel_size)
        self._connection.send(RunProgress(self._frames, self._total, rate, status, tuple(self._events), is_finishing))
        self._events.clear()
        self._sent_s = time.monotonic()

    def _seconds(self) -> float:
        return time.monotonic() - self._started_s

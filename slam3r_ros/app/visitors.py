"""Visitors of the app: each has files, a run and its map, which stay for a while after the last page is closed."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from slam3r_ros.app.inspector import Inspector
from slam3r_ros.app.limits import AppTuning, UploadError, UploadLimits
from slam3r_ros.app.messages import MAP_FILE_NAME, NetworkChoice, RunOutcome, RunProgress, RunRequest
from slam3r_ros.app.run_manager import RunManager
from slam3r_ros.app.run_settings import RunSettings
from slam3r_ros.app.runs import Run, RunReport
from slam3r_ros.app.scratch import ScratchFolder
from slam3r_ros.app.upload_folder import UploadFolder
from slam3r_ros.app.upload_report import UploadReport
from slam3r_ros.io.sources.example import EXAMPLE
from slam3r_ros.setting_spec import SettingValue
from slam3r_ros.viewer.map_model import MapModel
from slam3r_ros.viewer.map_status import MapStatus
from slam3r_ros.viewer.saved_map import STATE, SavedMapActions

EXAMPLE_SOURCE = str(EXAMPLE)
"""The source that is the clip installed with this package."""


_READY = MapStatus("READY", "choose what to map, and press Run")
_COMPLETE = "turn it, look at it in Time, measure and cut it in Tools, take it with you"
_WAITING = MapStatus("WAITING", "no image yet")


class BusyError(RuntimeError):
    """Something cannot be done now; the message says why in one sentence."""


class Visitor:
    """One visitor. Safe from any thread."""

    def __init__(self, key: str, folder: Path, limits: UploadLimits, runs: RunManager, networks: NetworkChoice) -> None:
        self.key = key
        """What only this visitor's browser knows."""
        self.uploads = UploadFolder(folder / "uploads", limits)
        self.model = MapModel()
        """The map as the visitor's pages show it."""
        self.model.set_status(_READY)
        self._folder, self._runs, self._networks = folder, runs, networks
        self._lock = threading.Lock()
        self._run: Run | None = None
        self._run_count = 0
        self._editing = threading.Lock()
        self._saved: SavedMapActions | None = None
        self._upload: UploadReport | None = None
        self._is_uploading = False

    # ---- uploads -------------------------------------------------------------------------------------------------

    @property
    def upload(self) -> UploadReport | None:
        """What was uploaded last; None before, and where it could not be used."""
        return self._upload

    def begin_upload(self) -> None:
        """Forget the files of before, for others are about to come. Raises UploadError while they are in use."""
        with self._lock:
            if self._run is not None and not self._run.report().state.is_over:
                raise UploadError("the files cannot be replaced while they are mapped: stop the run first")
            if self._is_uploading:
                raise UploadError("another upload of yours is going on: wait for it, or close its page")
            self._is_uploading, self._upload = True, None
        self.uploads.clear()

    def end_upload(self, inspector: Inspector | None) -> UploadReport | None:
        """Take what has come, after an inspection; with None the upload was given up. Raises UploadError where what
        has come cannot be used, and nothing is kept of it."""
        report: UploadReport | None = None
        try:
            report = None if inspector is None else inspector.inspect(self.uploads)
        finally:
            if report is None:
                self.uploads.clear()
            with self._lock:
                self._is_uploading, self._upload = False, report
        return report

    # ---- runs ----------------------------------------------------------------------------------------------------

    def run_report(self) -> RunReport | None:
        """How the newest run is; None before the first."""
        return None if self._run is None else self._run.report()

    @property
    def map_file(self) -> Path | None:
        """The map file of the newest run; None where it is not complete, or has no map."""
        run = self._run
        if run is None or (outcome := run.report().outcome) is None or not outcome.is_mapped:
            return None
        return run.request.folder / MAP_FILE_NAME

    @contextmanager
    def saved_map(self) -> Iterator[SavedMapActions | None]:
        """What can be done to the map file of the newest run, by one page at a time; None where there is none."""
        with self._editing:
            path = self.map_file
            if path is None:
                self._saved = None
            elif self._saved is None:
                self._saved = SavedMapActions(path, self.model)
            yield self._saved

    def begin_run(self, source: str | None, topic: str | None, values: Mapping[str, SettingValue]) -> None:
        """Map a source, or None for what was uploaded, with these settings. Raises SettingError, and BusyError where
        a run of this visitor goes on or there is nothing to map."""
        settings = RunSettings().with_values(values)
        if source is None and self._upload is None:
            raise BusyError("there is nothing to map yet: upload something, or choose the example")
        text = str(self.uploads.path) if source is None else source
        if text.startswith("webcam"):
            settings = settings.live()
        with self._lock:
            if self._run is not None and not self._run.report().state.is_over:
                raise BusyError("your run goes on: stop it first")
            if self._run is not None:
                shutil.rmtree(self._run.request.folder, ignore_errors=True)
            self._run_count += 1
            folder = self._folder / f"run_{self._run_count}"
            folder.mkdir(mode=0o700)
            self._run = Run(RunRequest(text, topic, settings, self._networks, folder), self._show, self._conclude)
        self.model.clear()
        self.model.set_status(_WAITING)
        self.model.set_scale(0.0)
        self._saved = None
        self._runs.submit(self._run)

    def stop_run(self) -> None:
        """Stop the run, if there is one, and keep what is mapped."""
        if self._run is not None:
            self._runs.stop(self._run)

    def close(self, wait_s: float) -> None:
        """Stop the run and remove all files."""
        self.stop_run()
        if self._run is not None:
            self._run.ended.wait(wait_s)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _show(self, progress: RunProgress) -> None:
        """Bring the map of the pages up to date."""
        for event in progress.events:
            self.model.apply(event)
        status = progress.status
        self.model.set_status(
            MapStatus(
                state=status.state.name,
                reason=status.reason,
                frame_rate=progress.frames_per_second,
                map_points=status.map_points,
                keyframes=status.keyframes,
                loops_closed=status.loops_closed,
            )
        )

    def _conclude(self, outcome: RunOutcome) -> None:
        """Say on the pages that the map is complete."""
        if outcome.is_mapped:
            status = self.model.snapshot().status
            self.model.set_status(
                MapStatus(STATE, _COMPLETE, map_points=status.map_points, loops_closed=status.loops_closed)
            )
        else:
            self.model.set_status(_READY)


class Visitors:
    """All visitors. Safe from any thread; `close` it."""

    def __init__(
        self,
        scratch: ScratchFolder,
        runs: RunManager,
        networks: NetworkChoice,
        limits: UploadLimits | None = None,
        tuning: AppTuning | None = None,
    ) -> None:
        self._scratch, self._runs, self._networks = scratch, runs, networks
        self._limits, self._tuning = limits or UploadLimits(), tuning or AppTuning()
        self._lock = threading.Lock()
        self._visitors: dict[str, Visitor] = {}
        self._pages: dict[str, int] = {}
        self._left_s: dict[str, float] = {}
        self._count = 0
        self._closed = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="slam3r_visitors", daemon=True)
        self._sweeper.start()

    def arrive(self, key: str | None) -> Visitor:
        """The visitor with this key who opens a page, again or for the first time; a new one for another key.

        Raises BusyError where there are too many.
        """
        with self._lock:
            visitor = None if key is None else self._visitors.get(key)
            if visitor is None:
                if len(self._visitors) >= self._tuning.most_visitors:
                    raise BusyError(f"{len(self._visitors)} visitors are here already: try again later")
                self._count += 1
                folder = self._scratch.folder(f"visitor_{self._count}")
                visitor = Visitor(secrets.token_urlsafe(24), folder, self._limits, self._runs, self._networks)
                self._visitors[visitor.key] = visitor
            self._pages[visitor.key] = self._pages.get(visitor.key, 0) + 1
            self._left_s.pop(visitor.key, None)
            return visitor

    def leave(self, visitor: Visitor) -> None:
        """The visitor has closed a page."""
        with self._lock:
            self._pages[visitor.key] -= 1
            if not self._pages[visitor.key]:
                self._left_s[visitor.key] = time.monotonic()

    def find(self, key: str) -> Visitor | None:
        """The visitor with this key; None for another key."""
        with self._lock:
            return self._visitors.get(key)

    def close(self) -> None:
        """Forget all visitors. The runs are stopped before, by the run manager."""
        self._closed.set()
        self._sweeper.join()
        for visitor in list(self._visitors.values()):
            visitor.close(0.0)

    def _sweep(self) -> None:
        """Forget those who have left for longer than the grace."""
        while not self._closed.wait(min(1.0, self._tuning.grace_s / 4)):
            with self._lock:
                now_s = time.monotonic()
                gone = [key for key, left_s in self._left_s.items() if now_s - left_s > self._tuning.grace_s]
                visitors = [self._visitors.pop(key) for key in gone]
                for key in gone:
                    del self._left_s[key], self._pages[key]
            for visitor in visitors:
                visitor.close(self._tuning.stop_s)

"""The process that inspects uploads: a file that is made to break a decoder breaks it there, within bounds."""

from __future__ import annotations

import resource
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from slam3r_ros.app.inspection import inspect_upload
from slam3r_ros.app.limits import AppTuning, UploadError, UploadLimits
from slam3r_ros.app.upload_folder import UploadFolder
from slam3r_ros.app.upload_report import UploadReport
from slam3r_ros.viewer.child_process import ChildProcess, ProcessEndedError, ignore_interrupts


@dataclass(frozen=True, slots=True)
class InspectionRequest:
    """An upload to inspect."""

    folder: Path
    limits: UploadLimits
    most_bytes: int
    """Address space that the inspection may take beyond what the process has."""


class Inspector:
    """Inspects uploads, one after the other, in a process of its own."""

    def __init__(self, tuning: AppTuning | None = None) -> None:
        self._tuning = tuning or AppTuning()
        self._process = ChildProcess("slam3r_inspection", answer_inspections)
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the process, so that the first upload need not wait for it."""
        with self._lock:
            self._process.start()

    def inspect(self, folder: UploadFolder) -> UploadReport:
        """What a folder's files are. Raises UploadError, also where the inspection crashes or takes too long."""
        request = InspectionRequest(folder.path, folder.limits, self._tuning.inspection_bytes)
        with self._lock:
            try:
                self._process.send(request)
                answer = self._process.receive(self._tuning.inspection_s)
            except ProcessEndedError as error:
                self._process.kill()
                raise UploadError(f"the upload cannot be read: {error} while it was inspected") from error
            if answer is None:
                self._process.kill()
        folder.look_again()
        if isinstance(answer, UploadError):
            raise answer
        if answer is None:
            raise UploadError(f"the upload cannot be read: its inspection took over {self._tuning.inspection_s:.0f} s")
        assert isinstance(answer, UploadReport)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.close()


def answer_inspections(connection: Connection) -> None:
    """What the process does: answer each request with a report or an UploadError, until the pipe is closed."""
    ignore_interrupts()
    limit: int | None = None
    while True:
        try:
            request = connection.recv()
        except (EOFError, OSError):
            return
        assert isinstance(request, InspectionRequest)
        if limit is None:
            limit = _limit_address_space(request.most_bytes)
        folder = UploadFolder(request.folder, request.limits)
        folder.look_again()
        try:
            answer: object = inspect_upload(folder)
        except UploadError as error:
            answer = error
        except MemoryError:
            answer = UploadError("the upload cannot be read: it needs too much memory")
        connection.send(answer)


def _limit_address_space(more_bytes: int) -> int:
    """Allow this process so many bytes more than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return limit

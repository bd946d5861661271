"""The app: the server of its pages, and everything behind them."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path

import viser

from slam3r_ros.app.app_page import AppPage
from slam3r_ros.app.inspector import Inspector
from slam3r_ros.app.limits import AppTuning, UploadLimits
from slam3r_ros.app.messages import NetworkChoice
from slam3r_ros.app.run_manager import RunManager
from slam3r_ros.app.scratch import ScratchFolder
from slam3r_ros.app.upload_field import upload_field
from slam3r_ros.app.upload_route import UPLOAD_PATH, UploadRoute
from slam3r_ros.app.visitor_actions import VisitorActions
from slam3r_ros.app.visitors import BusyError, Visitors
from slam3r_ros.viewer.child_process import limit_decoded_pixels
from slam3r_ros.viewer.exporter import Exporter
from slam3r_ros.viewer.page_server import Additions, PageAddress, PageServer
from slam3r_ros.viewer.tuning import TUNING

_LOG = logging.getLogger(__name__)
_TITLE = "slam3r"
_VISITOR_ITEM = "slam3r_visitor"
"""Name under which a browser keeps its visitor's key."""
_STORAGE_S = 30.0
"""Seconds in which a browser has to say what it keeps; a busy one that draws without a GPU may take several."""


@dataclass(frozen=True, slots=True)
class AppOptions:
    """How the app is started."""

    address: PageAddress = field(default_factory=PageAddress)
    scratch: Path | None = None
    """Folder for the scratch folder; None: that of temporary files."""
    limits: UploadLimits = field(default_factory=UploadLimits)
    most_runs: int = 1
    """Runs that are worked on at once."""
    networks: NetworkChoice = field(default_factory=NetworkChoice)
    tuning: AppTuning = field(default_factory=AppTuning)


class AppServer:
    """Serves the app until it is closed."""

    def __init__(self, options: AppOptions) -> None:
        """Begin to listen. Raises PageError where that is not possible, and OutputError for the scratch folder."""
        limit_decoded_pixels(options.limits.pixels)
        self._scratch = ScratchFolder(options.scratch)
        self._webcams = webcams()
        self._runs = RunManager(options.most_runs, options.tuning)
        self._inspector, self._exporter = Inspector(options.tuning), Exporter()
        self._visitors = Visitors(self._scratch, self._runs, options.networks, options.limits, options.tuning)
        self._pages: dict[int, AppPage] = {}
        self._gone: set[int] = set()
        self._pages_lock = threading.Lock()
        self._ended = threading.Event()
        route = UploadRoute(self._visitors, self._inspector, options.tuning)
        additions = Additions({UPLOAD_PATH: upload_field(options.limits)}, {UPLOAD_PATH: route})
        self._thread = threading.Thread(target=self._follow, name="slam3r_pages", daemon=True)
        try:
            self.server = PageServer(options.address, _TITLE, additions)
            """The web server; `server.url` is what to open in a browser."""
        except BaseException:
            self._close_rest()
            raise
        server = self.server.viser
        self._thread.start()
        server.on_client_connect(self._welcome)
        server.on_client_disconnect(self._say_goodbye)
        self._inspector.start()

    @property
    def scratch(self) -> Path:
        """The folder in which everything is that visitors bring and make."""
        return self._scratch.path

    def close(self) -> None:
        """Stop everything, and remove all files."""
        self._ended.set()
        self._thread.join()
        self.server.stop()
        self._close_rest()

    def _close_rest(self) -> None:
        self._runs.close()
        self._visitors.close()
        self._inspector.close()
        self._exporter.close()
        self._scratch.close()

    def _welcome(self, client: viser.ClientHandle) -> None:
        """Make the page of a browser, which is a new visitor or one who comes back."""
        try:
            key = client.local_storage.get_item(_VISITOR_ITEM, timeout=_STORAGE_S)
        except (RuntimeError, TimeoutError):  # it has gone again, or keeps nothing
            key = None
        try:
            visitor = self._visitors.arrive(key)
        except (BusyError, OSError) as error:
            client.gui.add_markdown(f"**Busy**: {error}")
            return
        client.local_storage.set_item(_VISITOR_ITEM, visitor.key)
        page = AppPage(client, visitor, VisitorActions(visitor, self._exporter), self._webcams)
        with self._pages_lock:
            is_gone = client.client_id in self._gone
            if not is_gone:
                self._pages[client.client_id] = page
            self._gone.discard(client.client_id)
        if is_gone:
            self._visitors.leave(visitor)

    def _say_goodbye(self, client: viser.ClientHandle) -> None:
        with self._pages_lock:
            page = self._pages.pop(client.client_id, None)
            if page is None:  # it has gone while its page is being made
                self._gone.add(client.client_id)
        if page is not None:
            self._visitors.leave(page.visitor)

    def _follow(self) -> None:
        """The thread of all pages."""
        while not self._ended.wait(1.0 / TUNING.updates_per_second):
            with self._pages_lock:
                pages = list(self._pages.values())
            for page in pages:
                try:
                    page.update()
                except (ValueError, RuntimeError, KeyError):  # a browser that goes in the middle of it
                    _LOG.warning("a page could not follow its map once", exc_info=True)


def webcams(devices: Path = Path("/dev")) -> tuple[str, ...]:
    """The cameras of this computer, as `open_source` names them."""
    numbers = sorted(int(path.name[5:]) for path in devices.glob("video[0-9]*") if path.name[5:].isdigit())
    return tuple(f"webcam:{number}" for number in numbers)

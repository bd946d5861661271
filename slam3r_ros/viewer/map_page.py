"""The live page: a map model, shown to every browser that opens the page."""

from __future__ import annotations

import logging
import threading

from slam3r_ros.viewer.following import ViewMode
from slam3r_ros.viewer.map_actions import MapActions, NoActions
from slam3r_ros.viewer.map_model import MapModel
from slam3r_ros.viewer.map_view import MapView
from slam3r_ros.viewer.page_server import PageAddress, PageServer
from slam3r_ros.viewer.tuning import TUNING, ViewerTuning

_LOG = logging.getLogger(__name__)


class MapPage:
    """Shows a `MapModel` that others feed. Whatever visitors do, whoever feeds the model never waits for them."""

    def __init__(
        self,
        model: MapModel,
        address: PageAddress,
        actions: MapActions | None = None,
        *,
        title: str = "slam3r",
        first_mode: ViewMode = ViewMode.FREE,
        tuning: ViewerTuning = TUNING,
    ) -> None:
        """Begin to listen. ``first_mode`` is how a new visitor's view moves. Raises PageError."""
        self.model = model
        self.actions: MapActions = actions or NoActions()
        self._period_s = 1.0 / tuning.updates_per_second
        self.server = PageServer(address, title)
        """The web server; `server.url` is what to open in a browser."""
        server = self.server.viser
        self.view = MapView(server, model, self.actions, first_mode=first_mode, tuning=tuning)
        """What all visitors see."""
        server.on_client_connect(self.view.welcome)
        server.on_client_disconnect(self.view.say_goodbye)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slam3r_page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving the page."""
        self._ended.set()
        self._thread.join()
        self.server.stop()

    def _run(self) -> None:
        """The page's thread."""
        while not self._ended.wait(self._period_s):
            if not self.server.viser.get_clients():  # whoever comes gets the map as it is then
                continue
            try:
                self.view.update()
            except (ValueError, RuntimeError, KeyError):  # a visitor who leaves in the middle of it
                _LOG.warning("the page could not follow the map once", exc_info=True)

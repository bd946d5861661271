"""The page's buttons, done by the services of a slam3r node."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rclpy.client import Client
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from slam3r_ros.film.film import FilmOptions
from slam3r_ros.io.save import MAP_FILE_SUFFIX
from slam3r_ros.map_file.errors import MapFileError
from slam3r_ros.ros.viewer.live_map_file import LiveMapFile
from slam3r_ros.srv import SaveMap, SetScale
from slam3r_ros.viewer.export_map import EXPORTS
from slam3r_ros.viewer.exporter import Exporter, ExportRequest, FilmRequest
from slam3r_ros.viewer.map_actions import ActionError, FilmProgress, NoActions

_PATIENCE_S = 10.0
"""Seconds to wait for an answer."""
_SAVE_PATIENCE_S = 120.0
"""Seconds to wait until a map is written."""


class NodeActions(NoActions):
    """Calls services and waits for their answers, in the thread of the visitor who asks; another runs the executor."""

    offered = frozenset({"pause", "reset", "save", "set_scale", "film"})
    downloads = EXPORTS

    def __init__(self, node: Node, source: str, live_map: LiveMapFile) -> None:
        """``source`` is the name of the slam3r node, ``live_map`` writes what it has published of its map."""
        self._source, self._live_map = source, live_map
        self._exporter, self._collecting = Exporter(), threading.Lock()
        self._pause = node.create_client(SetBool, f"{source}/pause")
        self._reset = node.create_client(Trigger, f"{source}/reset")
        self._save = node.create_client(SaveMap, f"{source}/save_map")
        self._set_scale = node.create_client(SetScale, f"{source}/set_scale")

    def pause(self, paused: bool) -> str:
        """Ignore images, or take them again."""
        return self._call(self._pause, SetBool.Request(data=paused))

    def reset(self) -> str:
        """Forget the map and begin a new one with the next image."""
        return self._call(self._reset, Trigger.Request())

    def save(self, path: str) -> str:
        """Write the map on the node's machine; empty: where its parameter save_path says."""
        return self._call(self._save, SaveMap.Request(path=path), _SAVE_PATIENCE_S)

    def set_scale(self, metres_per_unit: float) -> str:
        """Say how many metres a scene unit has."""
        return self._call(self._set_scale, SetScale.Request(metres_per_unit=metres_per_unit))

    def export(self, format_name: str, folder: Path) -> Path:
        """Write what the node has published of its map in one of `EXPORTS`; the node itself saves the whole map."""
        with self._map_file() as map_file:
            return self._exporter.export(ExportRequest(map_file, format_name, folder))

    def film(self, options: FilmOptions, target: Path, on_progress: Callable[[FilmProgress], None]) -> Path:
        """Make a film of what the node has published of its map."""
        with self._map_file() as map_file:
            return self._exporter.film(FilmRequest(map_file, options, target), on_progress)

    def close(self) -> None:
        """End the processes that export."""
        self._exporter.close()

    @contextmanager
    def _map_file(self) -> Iterator[Path]:
        """The map as it is now, in a file that is gone afterwards. Raises ActionError."""
        with tempfile.TemporaryDirectory(prefix="slam3r_live_") as folder:
            path = Path(folder) / f"map{MAP_FILE_SUFFIX}"
            with self._collecting:
                try:
                    self._live_map.write(path)
                except (OSError, MapFileError) as error:
                    raise ActionError(f"the map could not be collected: {error}") from error
            yield path

    def _call(self, client: Client, request: Any, patience_s: float = _PATIENCE_S) -> str:
        """The message of a service's answer; raises ActionError where it says no or nothing."""
        if not client.service_is_ready():
            raise ActionError(f"the node {self._source} cannot be reached")
        answered = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(patience_s):
            client.remove_pending_request(future)
            raise ActionError(f"the node {self._source} has not answered within {patience_s:.0f} s")
        response = future.result()
        if not response.success:
            raise ActionError(response.message)
        return str(response.message)

"""The page's buttons, done by the services of a slam3r node."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from rclpy.client import Client
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from slam3r_ros.io.ply import dump_ply
from slam3r_ros.srv import SaveMap, SetScale
from slam3r_ros.types import MapPoints
from slam3r_ros.viewer.map_actions import ActionError, NoActions
from slam3r_ros.viewer.map_model import MapModel

_PATIENCE_S = 10.0
"""Seconds to wait for an answer."""
_SAVE_PATIENCE_S = 120.0
"""Seconds to wait until a map is written."""


class NodeActions(NoActions):
    """Calls services and waits for their answers, in the thread of the visitor who asks; another runs the executor."""

    offered = frozenset({"pause", "reset", "save", "set_scale"})
    downloads: Mapping[str, str] = MappingProxyType({"ply": "the points that this page has of the map"})

    def __init__(self, node: Node, source: str, model: MapModel) -> None:
        """``source`` is the name of the slam3r node, ``model`` what the page has of its map."""
        self._source, self._model = source, model
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
        """Write the points that the page has, in map axes and the present unit; the node itself saves the whole map."""
        snapshot = self._model.snapshot()
        chunks = [chunk for chunk in snapshot.chunks if len(chunk.points)]
        if not chunks:
            raise ActionError("there are no points yet")
        points = MapPoints(
            np.concatenate([chunk.points_map() for chunk in chunks]) * np.float32(snapshot.unit),
            np.concatenate([chunk.points.colours for chunk in chunks]),
            np.concatenate([chunk.points.confidence for chunk in chunks]).astype(np.float32),
        )
        path = folder / f"map.{format_name}"
        with path.open("wb") as file:
            dump_ply(file, points, "metres" if snapshot.metres_per_unit else "scene units")
        return path

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

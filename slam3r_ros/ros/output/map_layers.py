"""All layers of the map that the parameters ask for."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.ros.output.camera_extrinsics import CameraExtrinsics
from slam3r_ros.ros.output.keyframe_views import KeyframeViewOutput
from slam3r_ros.ros.output.map_layer import KeyframePlacements, MapLayer
from slam3r_ros.ros.output.map_scale import MapScale
from slam3r_ros.ros.output.markers import MarkerOutput
from slam3r_ros.ros.output.occupancy import GridOutput
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.threads.async_publisher import AsyncPublisher
from slam3r_ros.ros.throttled_log import ThrottledLog


class MapLayers:
    """Makes the layers, tells each what happens, and knows where the keyframes are. Used by the mapping thread."""

    def __init__(
        self,
        node: Node,
        settings: NodeSettings,
        log: ThrottledLog,
        publisher: AsyncPublisher,
        extrinsics: CameraExtrinsics,
    ) -> None:
        self._node, self._log, self._publisher, self._extrinsics = node, log, publisher, extrinsics
        self._placements = KeyframePlacements()
        self._layers: dict[type[MapLayer], MapLayer] = {}
        self._make(settings)

    def observe(self, view: KeyframeView, scale: MapScale) -> None:
        """Take a keyframe in; it replaces an earlier view of the same number."""
        self._placements.observe(view)
        for layer in self._layers.values():
            layer.observe(view, scale)

    def correct(self, correction: MapCorrection, unit: float) -> None:
        """Move everything as a closed loop says; ``unit`` is the published length of a scene unit."""
        self._placements.correct(correction)
        for layer in self._layers.values():
            layer.correct(correction, unit)

    def rescale(self, before: float, scale: MapScale) -> None:
        """Follow a change of the published length of a scene unit, which was ``before``."""
        for layer in self._layers.values():
            layer.rescale(before, scale)

    def change_settings(self, settings: NodeSettings, scale: MapScale) -> None:
        """Use other values of those parameters that may change at any time. A layer that is new begins with the next
        keyframe."""
        for layer in self._layers.values():
            layer.change_settings(settings)
        self._make(settings)
        self.rescale(scale.unit, scale)  # of those that are new

    def publish_due(self, stamp_ns: int, unit: float) -> None:
        """Publish what has changed and is due, with the stamp of the newest image."""
        for layer in self._layers.values():
            layer.publish_due(stamp_ns, unit)

    def reset(self, stamp_ns: int, unit: float) -> None:
        """Begin anew with another map, and publish that it is empty."""
        self._placements.clear()
        for layer in self._layers.values():
            layer.reset(stamp_ns, unit)

    def destroy(self) -> None:
        """Destroy the publishers."""
        for layer in self._layers.values():
            layer.destroy()

    def _make(self, settings: NodeSettings) -> None:
        """Make the layers that the parameters ask for and that are not there, and destroy those not asked for."""
        node, publisher, placements = self._node, self._publisher, self._placements
        frame = settings.map_frame
        makers: dict[type[MapLayer], Callable[[], MapLayer]] = {
            MarkerOutput: lambda: MarkerOutput(node, settings, publisher, placements)
        }
        if settings.publish_views:
            makers[KeyframeViewOutput] = lambda: KeyframeViewOutput(node, frame, publisher, placements)
        if settings.publish_grid:
            makers[GridOutput] = lambda: GridOutput(node, settings, self._log, publisher, self._extrinsics)
        for kind in self._layers.keys() - makers.keys():
            self._layers.pop(kind).destroy()
        self._layers |= {kind: make() for kind, make in makers.items() if kind not in self._layers}

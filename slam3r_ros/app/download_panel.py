"""The panel of what a visitor takes away: files of the map in the formats of other programs."""

from __future__ import annotations

import viser

from slam3r_ros.app.exporter import Exporter, ExportError, ExportRequest
from slam3r_ros.app.visitors import Visitor
from slam3r_ros.export.formats import FORMATS
from slam3r_ros.io.save import MAP_FILE_SUFFIX

_MAP_FILE = f"Map file ({MAP_FILE_SUFFIX})"
_LABELS = {
    "glb": "GLB, for any 3D program",
    "ply": "PLY, points",
    "pcd": "PCD, points",
    "colmap": "COLMAP, for splatting",
    "tum": "TUM, trajectory",
    "npz": "NPZ, for NumPy",
}
"""What the page calls the formats."""


class DownloadPanel:
    """One browser's panel. Its callbacks run in viser's threads; `update` is called by the page's."""

    def __init__(self, client: viser.ClientHandle, visitor: Visitor, exporter: Exporter) -> None:
        self._client, self._visitor, self._exporter = client, visitor, exporter
        self._formats = {f"{_LABELS[name]}": name for name in FORMATS}
        gui = client.gui
        self._folder = gui.add_folder("Take it with you", visible=False)
        with self._folder:
            self._format = gui.add_dropdown("Format", (*self._formats, _MAP_FILE))
            self._button = gui.add_button("Download", icon=viser.Icon.DOWNLOAD)
        self._button.on_click(lambda _: self._download())

    def update(self) -> None:
        """Offer the files once there is a map."""
        self._folder.visible = self._visitor.map_file is not None

    def _download(self) -> None:
        """Make the file and hand it to the browser."""
        map_file = self._visitor.map_file
        if map_file is None:
            return
        self._button.disabled, self._button.label = True, "Making the file"
        try:
            chosen = self._formats.get(self._format.value)
            path = map_file
            if chosen is not None:
                target = map_file.with_name(f"map_{chosen}" if chosen == "colmap" else f"map{FORMATS[chosen].suffix}")
                path = self._exporter.export(ExportRequest(map_file, chosen, self._visitor.metres_per_unit, target))
            self._client.send_file_download(path.name, path.read_bytes(), save_immediately=True)
        except (ExportError, OSError) as error:
            self._client.add_notification("No file", str(error), color="red", auto_close_seconds=8)
        finally:
            self._button.disabled, self._button.label = False, "Download"

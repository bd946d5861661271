"""Camera paths, as those who render need them; see `worlds.paths`."""

from .worlds.paths.choose import PathSettings, camera_path
from .worlds.paths.curves import NoFreePathError

__all__ = ["NoFreePathError", "PathSettings", "camera_path"]

"""Where frames come from without ROS: a video file, a directory of images, a bag, a webcam.

`open_source` chooses by the text it is given; all of them are a `Source`.
"""

from slam3r_ros.io.sources.base import Source, SourceError
from slam3r_ros.io.sources.choose import open_source

__all__ = ["Source", "SourceError", "open_source"]

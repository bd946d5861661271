"""Where frames come from without ROS: a video file, a directory of images, a bag, a webcam.

`open_source` chooses by the text it is given; all of them are a `Source`.

- `base`: what every source is.
- `choose`: from the text on a command line to a source.
- `video`: a video file.
- `video_reader`: the frames of a video file, by OpenCV or PyAV.
- `images`: a directory of images.
- `file_order`: the order of the files in a directory.
- `bag`: a ROS 2 bag.
- `webcam`: a camera of this machine.
- `example`: the clip that is installed with this package.
- `recorded_time`: the times at which the frames of a recording were taken.
"""

from slam3r_ros.io.sources.base import Source, SourceError
from slam3r_ros.io.sources.choose import open_source

__all__ = ["Source", "SourceError", "open_source"]

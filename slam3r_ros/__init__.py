"""SLAM3R as a real-time ROS 2 node: dense monocular mapping without camera parameters."""

# The generated message modules live in another directory of the same name (the install space), and a build may
# replace this file by an empty one: nothing else may be defined here.
import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)

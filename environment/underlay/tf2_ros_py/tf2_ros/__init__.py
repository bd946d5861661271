"""A subset of tf2_ros, for a machine without a ROS distribution.

buffer                  the tree of frames, and the exceptions of its look-ups
transform_listener      fills a buffer from /tf and /tf_static
transform_broadcaster   publishes on /tf
"""

from tf2_ros.buffer import Buffer, ConnectivityException, LookupException, TransformException
from tf2_ros.transform_broadcaster import TransformBroadcaster
from tf2_ros.transform_listener import TransformListener

__all__ = [
    "Buffer",
    "ConnectivityException",
    "LookupException",
    "TransformBroadcaster",
    "TransformException",
    "TransformListener",
]

"""The ROS 2 side of the package; the only place that imports rclpy or messages.

settings -> parameters                 every parameter: one definition, its declaration, its documents
node                                   the lifecycle node: wiring only
newest_images -> worker                executor thread puts images in, worker thread takes the newest
stamps -> cameras -> messages          message to Frame
outputs, path, tf                      MapUpdate to messages
status, diagnostics, notices           what the node tells about itself
player, recorder, transport            the other end of the topics, and the way between
"""

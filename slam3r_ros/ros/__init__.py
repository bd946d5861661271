"""The ROS 2 side of the package; the only place that imports rclpy or messages.

settings -> parameters                 every parameter: one definition, its declaration, its documents
node                                   the lifecycle node: wiring only
image_input -> preparer -> worker      three threads: images come, are decoded and cropped, are mapped; `newest` between
stamps -> cameras -> frames            message to Frame
outputs, path, tf                      MapUpdate to messages
status, diagnostics, notices           what the node tells about itself
player, recorder, transport            the other end of the topics, and the way between
"""

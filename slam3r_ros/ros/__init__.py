"""The ROS 2 side of the package, the only one that imports rclpy or messages. Rooms, each of which imports only earlier
ones:

- ``throttled_log``: the node's log, in which a message that repeats itself is suppressed for some seconds.
- ``quality_of_service``: what several topics share of it.
- ``start``: starting ROS in a process.
- ``parameters``: every parameter of the node, its declaration and its documents.
- ``threads``: the threads, what passes between them, and the queues between them.
- ``input``: image messages and camera_info, up to frames that are ready for the engine.
- ``output``: the engine's events, as messages on topics and TF.
- ``pipeline``: the way of an image through all of that while the node is configured.
- ``services``: what the services of the node share.
- ``map_services``: maps of map files on a running node.
- ``node``: the lifecycle node with its services.
- ``viewer``: the node slam3r_viewer, which shows a slam3r node's map in the browser.
- ``tools``: a player that publishes as a camera, and a recorder of what the node publishes.
"""

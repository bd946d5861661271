"""What comes into the node: image messages and camera_info, up to frames that are ready for the engine.

- ``image_subscription``: the subscriptions; image messages go into the first queue as they come.
- ``loss_counter``: images that were published and never arrived.
- ``message_decoding``: image messages to RGB arrays, rare encodings through cv_bridge.
- ``timestamp_filter``: which stamps can be used; a backward jump of time starts a new map.
- ``camera_info_cache``: intrinsics from the newest camera_info, where they fit the image.
- ``frame_name``: the name of the camera's optical frame.
- ``frame_builder``: all of that together: a received image to a frame that is ready for the engine.
- ``frame_transforms``: transforms between frames of other nodes, by TF.
- ``metric_sensors``: odometry and depth images in metres, from which the scale of the map is estimated.
- ``gravity_input``: the direction of gravity by an inertial sensor.
- ``dds_transport``: what Fast DDS must be set to so that large images are not lost between processes.
"""

"""The way of an image through the node while it is configured.

- ``session``: networks, engine, queues, threads and topics between configuring and cleaning up.
- ``loops``: which engine it is, and which thread does what.
- ``slam_runner``: the engine's events to topics, and what services ask; where nothing tracks, frames into the engine.
- ``live_runner``: where visual odometry tracks, images into tracking, and what it asks of mapping.
- ``map_recording``: the map file that is written while the node maps.
- ``automatic_saving``: maps that are saved without being asked for.
- ``weights_choice``: tells the user which networks `weights: auto` has chosen.
"""

"""The way of an image through the node while it is configured.

- ``session``: networks, engine, queues, threads and topics between configuring and cleaning up.
- ``slam_runner``: frames into the engine, its events to topics; what the mapping thread runs.
- ``map_recording``: the map file that is written while the node maps.
- ``automatic_saving``: maps that are saved without being asked for.
- ``weights_choice``: tells the user which networks `weights: auto` has chosen.
"""

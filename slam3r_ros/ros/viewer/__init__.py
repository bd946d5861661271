"""The node `slam3r_viewer`: the live page in the browser, from the topics of a slam3r node that may run elsewhere.

- ``messages``: from the topics' messages to the engine's values.
- ``topic_feeder``: the subscriptions, which fill the page's model of the map.
- ``live_map_file``: what the node has published of its map, as a map file.
- ``node_actions``: the page's buttons, by the services of the slam3r node, and exports and films.
- ``viewer_node``: parameters, and the node itself.
"""

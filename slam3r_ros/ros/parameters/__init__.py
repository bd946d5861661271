"""The node's parameters: each is defined once, and its declaration and its documents are made from that.

- ``node_settings``: the definitions of the node's own parameters; those of the engine are in `slam3r_ros.settings`.
- ``frames``: which names of frames go together.
- ``declaration``: declares the parameters on a node, reads them, and rejects unknown or wrong ones by name.
- ``documents``: writes config/slam3r.yaml and the reference of the parameters.
- ``launch_options``: what the launch files do with their arguments.
"""

"""Loop closure: the camera comes back to where it has been, and the drift on the way is corrected.

- ``loop_closer``: `LoopCloser`, which takes keyframes and returns corrections.
- ``place_search``: place recognition among the places that are remembered.
- ``place``: place-recognition keyframes.
- ``verification``: the geometric verification of a loop between two places.
- ``place_graph``: the places, the loops between them, and the correction that follows from these.
- ``merging``: two sessions that have seen the same places become one.
- ``pose_graph``: pose-graph optimization on Sim(3).
- ``chain_solver``: the pose graph's normal equations.
- ``scale_edges``: what other sensors say of the scale, as edges of the pose graph.
- ``correction``: what a closed loop changes in the world.
- ``tuning``: the constants of this room that were tuned by hand.
"""

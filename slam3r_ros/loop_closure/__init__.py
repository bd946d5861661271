"""Loop closure: the camera comes back to where it has been, and the drift on the way is corrected.

- ``loop_closer``: `LoopCloser`, which takes keyframes and returns corrections.
- ``place``: place-recognition keyframes.
- ``verification``: the geometric verification of a loop between two places.
- ``pose_graph``: pose-graph optimization on Sim(3).
- ``chain_solver``: the pose graph's normal equations.
- ``correction``: what a closed loop changes in the world.
- ``tuning``: the constants of this room that were tuned by hand.
"""

"""The laboratory of slam3r_ros: what makes and measures its networks, and what no robot needs.

It is a distribution of its own with the command line ``slam3r_lab``, which `make setup` installs. slam3r_ros never
imports it. The folders, where each imports only those before it:

- `worlds`: procedural worlds made from a seed: geometry, textures, light, camera paths, camera effects, a renderer.
- `sequences`: recorded sequences with truth, and the readers of their layouts (TUM RGB-D, 7-Scenes, Replica, ours).
- `training`: data, losses and stages of the training of the networks, and the export of the weights.
- `oracle`: substitutes of the networks that answer from the truth of a sequence, with errors that are chosen.
- `baselines`: other methods on the same sequences, among them COLMAP.
- `evaluation`: protocols, errors of trajectories, clouds and networks, reports; comparison with golden numbers.
- `benchmarks`: speed, memory and accuracy of engine and node on this machine, with the dated results. Only these may
  import ROS.
- `soak`: long runs of the node, and faults on purpose. These may import ROS too.
- `distributions`: which names of ROS this repository uses, and whether a distribution has them.
- `commands`: the command line: `render`, `train`, `evaluate`, `parity`, `soak`, `distributions` and `bench`.
"""

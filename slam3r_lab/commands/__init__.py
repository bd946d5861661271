"""The command line ``slam3r_lab``, one module for each subcommand.

- `main`: the subcommand is chosen by its name.
- `render`: a world is made from a seed and rendered as a video, with depth, poses and intrinsics.
- `train`: the training worlds are rendered and the networks trained, one stage at a time or all.
- `evaluate`: weights are measured on sequences with truth.
- `parity`: networks and engine are compared with golden numbers of the published implementation.
- `soak`: long runs of the node, and faults on purpose.
- `distributions`: the names of ROS in use against a distribution's sources.

The subcommand ``bench`` is `slam3r_lab.benchmarks.run`.
"""

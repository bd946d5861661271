"""Benchmarks: speed, memory and accuracy of engine and node on this machine.

Tables lie beside the files, dated results in ``results/``, the logs of training runs in ``training/``.

These files make the parts of ``slam3r_lab bench PART ...``:

- `run`: the parts are called by their names, and their results are written.
- `topic`: cameras of several rates, sizes and transports publish to the real node over DDS.
- `topic_camera`: this is such a camera, a process of its own that costs nearly nothing.
- `stages`: each stage of the networks is measured by itself, beside the least time that it can take here.
- `ratio`: the engine is compared with the published way, in frames a second.
- `engine_way`: this is what the engine does for a round of frames.
- `published_way`: this is what the published program does for the same round.
- `precision`: the engine computes in bfloat16 or float16, and its results are compared with those of float32.
- `cpu_ways`: the embedded networks run on a CPU eagerly, in bfloat16 and compiled.
- `retrieval_agreement`: retrieval by a shortlist is compared with the full search.
- `long_run`: ten thousand frames show whether the last are as fast as the first, in as little memory.

Each of these is a benchmark with options of its own, called by its name as in ``slam3r_lab bench accuracy``:

- `accuracy`: every set of weights, the oracles and the baselines are evaluated on sequences with truth.
- `loops`: sequences that come back to where they were are mapped with and without loop closure.
- `features`: kinds of features are compared by the loops that they find, from other directions and in other light.
- `covariance`: the covariances of the node's odometry are compared with the true errors.
- `dense_depth`: the dense depth of keyframes is compared with the true depth (``slam3r_lab bench dense-depth``).
- `scale_drift`: the drift of the scale with odometry or a depth camera (``slam3r_lab bench scale-drift``).
- `localization`: how a camera is found in a map of before (``slam3r_lab bench localization``).
- `sessions`: two sessions in one map file, in real processes (``slam3r_lab bench sessions``).
- `map_file`: what writing and opening a map file costs, and files after SIGKILL (``slam3r_lab bench map-file``).
- `viewer`: the live page: what it costs the node, how fast it is drawn, how soon, and in how much memory.
- `oracle`: networks that are wrong in a known way show how much of their error reaches trajectory and map.
- `sizes`: time and error are measured against the size of the networks.
- `learning_curves`: the learning curves of the training runs are drawn anew (``slam3r_lab bench curves``).
- `pose_graph`: the optimization of pose graphs of several sizes is timed.
- `gpu`: everything that needs a GPU is measured in one run.

The benchmarks share these files or are made of them:

- `accuracy_sequences`: twelve sequences are rendered once and kept, of worlds that no training touches.
- `features_cases`: pairs of views of one place and of different ones, with the truth.
- `features_ways`: these are the features that are compared.
- `dense_depth_cases`: keyframes are put together with their partners and true depths.
- `dense_depth_ways`: these are the ways to the depth of a keyframe that are compared.
- `gpu_stream`: the whole engine is measured frame by frame, beside a live camera, and with the memory nearly full.
- `scene`: a full buffer, windows and the next frames are made up, as of a stream in full swing.
- `random_networks`: networks of any size get random weights.
- `operations`: the operations and bytes of every stage of the networks are counted on paper.
- `machine`: the highest speed of this machine is measured, in operations and bytes a second.
- `report`: a report says what a benchmark found, and is written as Markdown and JSON.
"""

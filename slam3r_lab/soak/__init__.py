"""Long runs and faults on purpose: `slam3r_lab soak`.

- ``messages``: images and camera_info as broken drivers may send them, for Hypothesis.
- ``fuzzing``: a node in this process whose callbacks get such messages.
- ``node_process``: a node in a process of its own, what it holds, and a camera for it.
- ``scenarios``: what is done to the node, and what must be true afterwards.
"""

"""The training of the networks.

The way of a training run, file by file: `config` (what to do) -> `run` -> `rendered_data`, `recorded_data` (frames on
disk, of worlds made from a seed and of recorded sequences) -> `data` (`clips` of each phase) -> `windows` (views of one
window) -> `losses`, `matching` -> `i2p_stage`, `correlation_stage`, `l2w_stage` (one stage of training each) ->
`trainer` (the loop), `workers` (several processes), `logs` and `pictures` -> `export` (published file format).
"""

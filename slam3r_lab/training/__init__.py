"""Procedural worlds and the training of the networks.

The way of a training run, file by file: `config` (what to do) -> `run` -> `worlds` (geometry, light, paths, images from
a seed) -> `rendered_data`, `recorded_data` (frames on disk) -> `data` (`clips` of each phase) -> `windows` (views of
one window) -> `losses`, `matching` -> `i2p_stage`, `correlation_stage`, `l2w_stage` (one stage of training each) ->
`trainer` (the loop), `workers` (several processes), `logs` and `pictures` -> `export` (published file format).
"""

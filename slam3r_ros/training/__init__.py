"""Procedural rooms and the training of the small embedded networks.

The way of a training run, file by file: `room_family` (what a room may be) -> `rooms` (one room from a seed) ->
`camera_path` (how a hand carries a camera through it) -> `renderer` (colour, depth, pose)
-> `dataset_files` (frames on disk) -> `windows` (views of one window) -> `losses` -> `i2p_stage`, `correlation_stage`,
`l2w_stage` (one stage of training each) -> `export` (published file format).
"""

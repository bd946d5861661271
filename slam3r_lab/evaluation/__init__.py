"""How good maps and poses are: protocols, errors of trajectories, clouds and networks, reports.

In the order in which a sequence meets the files:

- `protocols`: a protocol is a way of measuring with a name: its frames, its settings, and the figures to quote.
- `weights`: the text after ``--weights`` is turned into networks, trained ones or oracles.
- `session`: sequences are evaluated one after another with the same weights and protocol.
- `evaluate`: everything that is measured of one sequence is measured here.
- `run`: the sequence goes through the engine as the node would push it.
- `baseline_run`: a baseline takes the engine's place and is measured in the same way.
- `samples`: the same pixels of every frame are taken from the estimate and from the truth.
- `alignment`: what was estimated is aligned with the truth, by Umeyama's method and by ICP.
- `trajectory`: absolute and relative pose errors and the drift of the scale are computed.
- `clouds`: the accuracy and the completeness of a point cloud are computed.
- `fused_map`: the map, as it is saved, is compared with what the whole images truly see.
- `calibration`: the confidence of points is compared with their errors.
- `network_errors`: the two networks are measured alone, without the engine's stream.
- `overlap`: true depth and poses tell which frames see the same, and how well retrieval finds them.
- `plots`: the trajectory, the cloud coloured by its error, and the calibration are drawn.
- `machine`: a report needs to know the machine, the commit of the code and the peak of the memory.
- `report`: the results are written as JSON and as a Markdown table.

Beside the way of a sequence:

- `parity`: networks and engine are compared with golden numbers of the published implementation.
"""

"""How good maps and poses are: protocols, errors of trajectories, clouds and networks, reports.

The way of a sequence can be read off the file list:

    protocols -> session -> run -> alignment -> trajectory | clouds | calibration | network_errors -> report

`parity` compares networks and engine with golden numbers of the published implementation.
"""

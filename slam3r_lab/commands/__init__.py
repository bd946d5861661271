"""The command line ``slam3r_lab``: `main`, and one module for each subcommand.

The subcommand `bench` is `slam3r_lab.benchmarks.run`.
"""

"""Benchmarks: speed, memory and accuracy of engine and node on this machine.

`run` has the parts of ``slam3r_lab bench PART ...``: `topic`, `stages`, `ratio`, `precision`, `cpu_ways`,
`retrieval_agreement` and `long_run`. The others are called by their own name, as ``slam3r_lab bench accuracy``. Tables
lie beside the files, dated results in ``results/``, the logs of training runs in ``training/``.
"""

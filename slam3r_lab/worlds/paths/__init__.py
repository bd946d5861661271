"""Camera paths: `motion` (ranges), one file for each way of moving, `poses` (from samples to poses), `choose` (the path
of a seed).
"""

"""How good maps and poses are: sequences with truth, metrics, protocols, oracle networks and baselines.

Nothing of the node imports this. The way of a sequence can be read off the file list:

    readers -> sequence -> run -> alignment -> trajectory | clouds | calibration | networks -> report
"""

"""Loops: the camera comes back to where it has been, and what has drifted on the way is put right.

A keyframe is remembered as a `place`; `closing` compares it with those that look alike and, where they agree, bends the
chain of places by a `pose_graph` of `similarities`; a `correction` says how everything that was mapped moves with it.
"""

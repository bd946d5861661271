"""Recorded sequences with truth.

`sequence` is what a sequence is: images with stamps, and where there are any camera, depth and true poses. `readers`
make one from a folder. `truth` makes the pointmap that a perfect network would answer for a frame.
"""

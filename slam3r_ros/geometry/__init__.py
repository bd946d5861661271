"""Geometry that every other room builds on; it imports nothing else of this package.

- ``se3``: poses as (4, 4) arrays, rotation vectors and quaternions.
- ``dead_reckoning``: a pose by the sum of the motions measured so far (`DeadReckoning`).
- ``sim3``: similarity transforms, one or many at once (`Sim3`).
- ``umeyama``: the similarity or rigid transform that aligns two point sets, weighted and robust.
- ``robust``: robust kernels by their names, and the weighted median.
- ``least_squares``: Levenberg and Marquardt's method, and small normal equations.
- ``camera``: pinhole intrinsics, distortion, and what resizing and cropping do to them.
- ``frustum``: the viewing pyramid of a camera, as lines.
- ``crop``: which part of an image the networks' crop shows (`CropRegion`), and its intrinsics.
- ``focal``: the focal length that a pointmap implies.
"""

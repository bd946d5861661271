"""The metric scale of a monocular map: a single camera cannot observe it, but what else a robot has can.

Every source compares lengths of the map with the same lengths in metres and gives `ScaleObservation`s; one robust
estimator makes one scale of them, whatever they come from.

- `estimator`: observations in, scale with its standard deviation out.
- `motion_source`: the way of the camera against the same way in metres, by wheel odometry or any other.
- `depth_source`: the depth of a keyframe against a depth image in metres.
- `tag_source`: an AprilTag of known size, triangulated in the map.
- `tuning`: the constants that were tuned by hand.
"""

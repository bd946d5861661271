"""Image tracks: corners followed from frame to frame, and the camera's motion that explains them.

`image` and `corners` (what is seen) -> `resection` (a frame's pose by known points) -> `window` of keyframes, adjusted
by `bundle_adjustment` with L2W as a `prior` -> `calibration` (the focal length) and `recovery` (where the corners were
lost): `poses` is all that together. `depth_field`, `parallax` and `fusion` correct the frame's points; `stage` is the
engine's view of it.
"""

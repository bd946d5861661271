"""Pictures of maps, drawn in software: points as surfaces, and cameras, paths and words on top; no GPU, no display.

- `cloud`: points with the size at which they are drawn.
- `keyframe_splats`: such points from the depths of keyframes.
- `views`: where a picture is seen from: a camera, or a plan from above.
- `splatting`: points to pixels, with a depth buffer.
- `shading`: gaps are closed, edges in depth are darkened.
- `renderer`: the picture of a cloud in a view.
- `overlay`: lines, cameras and images among the points of a picture.
- `canvas`: a page to draw on, written as a PNG.
- `tuning`: the constants of all of that.
"""

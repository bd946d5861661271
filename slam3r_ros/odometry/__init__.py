"""Visual odometry: the camera's motion from what the images show to move, anchored in the networks' pointmaps.

In the order in which a frame meets the files:

- `tuning` holds the constants that were tuned by hand.
- `odometry_stage` is the engine's door to this wing: it turns registered frames into inputs of visual odometry, and
  moves their points to where visual odometry says that they are.
- `tracked_frame` has the values that pass in and out: `OdometryInput` and `TrackedFrame`.
- `visual_odometry` tracks landmarks from frame to frame, finds each frame's pose and makes keyframes.
- `sliding_window` has the most recent keyframes and the landmarks that they observe.
- `bundle_problem`, `bundle_equations` and `bundle_adjustment` adjust that window: the values, the equations of one
  iteration, and the iterations.
- `focal_estimation` finds the focal length by self-calibration where no camera_info gives it.
- `flow_depth` triangulates the depths of a keyframe's pixels by optical flow to earlier keyframes.
- `depth_correction` corrects a frame's pointmap by the depths of its tracks.
- `depth_fusion` fuses that pointmap with the triangulated depths.

KLT, motion-only bundle adjustment, relative poses and L2W's prior are in `slam3r_ros.vision`.
"""

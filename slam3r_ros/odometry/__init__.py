"""Visual odometry: the camera's motion from what the images show to move, anchored in the networks' pointmaps.

In the order in which a frame meets the files:

- `tuning` holds the constants that were tuned by hand.
- `odometry_stage` is the engine's door to this wing: it turns frames into inputs of visual odometry, and moves the
  points of registered frames to where visual odometry says that they are.
- `tracked_frame` has the values that pass in and out: `OdometryInput` and `TrackedFrame`.
- `visual_odometry` is tracking and local mapping together.
- `frame_tracker` tracks landmarks from image to image and finds each frame's pose (tracking).
- `live_tracker` is tracking on a thread of its own, which catches up with what mapping has made of a keyframe.
- `local_map` has what tracking and local mapping tell each other.
- `local_mapping` makes keyframes and keeps their window consistent (local mapping).
- `sliding_window` has the most recent keyframes and the landmarks that they observe.
- `keyframe_changes` tells what bundle adjustment and self-calibration have changed of keyframes in
  the map.
- `bundle_problem`, `bundle_equations` and `bundle_adjustment` adjust that window: the values, the equations of one
  iteration, and the iterations.
- `focal_estimation` finds the focal length by self-calibration where no camera_info gives it.
- `depth_correction` corrects a frame's pointmap by the depths of its tracks.
- `flow_depth` triangulates the depths of a keyframe's pixels by optical flow to earlier keyframes.
- `depth_fusion` fuses the corrected pointmap with the triangulated depths.

KLT, motion-only bundle adjustment, relative poses and L2W's prior are in `slam3r_ros.vision`.
"""

"""What leaves the node: poses, TF, odometry, clouds, depth, keyframes, status and diagnostics.

- ``outputs``: from the engine's events to topics; which topic is published when.
- ``messages``: from the engine's values to messages, in the map frame's axes.
- ``map_scale``: how long a scene unit is in what is published.
- ``scale_estimation``: the metric scale from odometry, depth images or a tag, while the node runs.
- ``levelling``: the turn that makes the map upright, while the node runs.
- ``poses``: the pose of each tracked frame, as message, on TF and as odometry.
- ``pose_continuity``: the pose in the frame of visual odometry, which never jumps, and how corrections reach the map's.
- ``camera_extrinsics``: the transform from the robot's base to the camera, by TF.
- ``tf``: the transforms from map to base, from map to odom, or both by visual odometry.
- ``tf_broadcaster``: sends transforms so that no frame gets a second parent, and tells of others that send the same.
- ``odometry``: poses on the map and by visual odometry, velocity and their covariances as nav_msgs/Odometry.
- ``pose_covariance``: the covariance of a pose, from the reprojection error of the points it was computed from.
- ``depth``: the depth image of a frame and its camera.
- ``markers``: keyframes as frustums, the way between them and closed loops, for RViz.
- ``map_layer``: what is published of all keyframes beside the cloud, and where the keyframes are.
- ``map_layers``: all of these that the parameters ask for.
- ``occupancy``: the occupancy grid for navigation.
- ``publication_schedule``: when a topic that holds the whole map is due.
- ``keyframe_views``: keyframes with image, depth and confidence, and where closed loops have moved them.
- ``decimated_list``: the list of bounded length behind path and keyframes.
- ``status``: the SlamStatus message.
- ``diagnostics``: the node's health on /diagnostics.
- ``tuning``: the hand-tuned values of all of them.
"""

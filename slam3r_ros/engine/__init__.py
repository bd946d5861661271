"""SLAM3R as a stream: the two networks of the paper, and what makes a SLAM system of them.

In the order in which a frame meets the files:

- `slam`: the engine's interface, frames in and events out; the tracking loop and the mapping loop run in it.
- `encoder`: an image is undistorted, cropped and encoded to tokens.
- `ring_buffer`: frames that a window may still need.
- `window`: the window of a frame, and which frames are registered in one batch.
- `stride`: the choice of the stride from the first frames (SLAM3R, supplement A).
- `initializer`: tries the oldest frames until they make an initial map.
- `initial_map`: the initial map of a window (SLAM3R section 3.3).
- `tracking`: the tracking loop, which gives poses and asks for keyframes; its two strategies.
- `live_slam`: the engine on two threads: the tracking loop on one, the mapping loop on the other.
- `live_tracking`: the tracking thread's half of it, and what passes between the two.
- `mapping`: the mapping loop, in which keyframes become part of the map. It runs the stages that follow.
- `image_counter`: the place of an image in the camera's stream.
- `image_to_points_stage`: I2P, the local pointmap of a window (SLAM3R section 3.2).
- `scene_frame_selector`: when retrieval is asked for the scene frames of a registration.
- `retrieval`: which keyframes see the same place (SLAM3R section 3.3).
- `local_to_world_stage`: L2W, the registration in the map (SLAM3R section 3.3).
- `localization`: where registered frames were taken, and whether they are lost.
- `camera_pose`: the camera pose that explains a world pointmap.
- `keyframe_refinement`: visual odometry refines a registered frame, and loop closure takes it as a place.
- `keyframe_buffer`: the keyframes that retrieval chooses from (SLAM3R section 3.3, supplement A).
- `loaded_map`: a map of an earlier session, with which the engine begins.
- `map_state`: the trajectory, the records of all keyframes, and the map's points.
- `trajectory`: the poses of all tracked frames.
- `point_map`: the fused point of every voxel.
- `free_space`: what a keyframe looks through, where no point can be.
- `voxel_hash_map`: the hash table from voxels to points.
- `keyframe_view`: a keyframe's image, depth and pose, as it is shown, saved and exported.
- `dense_depth_stage`: in the background, keyframes get the depth of their whole image.
- `reconstruction`: everything that was mapped, as exports, films and the viewer take it.
- `events`: what leaves the engine.
- `failures`: what the engine may raise while it runs, in words.

Beside the way of a frame:

- `slam_status`: counters and state, as whoever runs the engine may look at them.
- `stage_timer`: the time that each stage takes.
- `warm_up`: the extra work of the first frames, done on noise before there are any.
- `tuning`: the constants that were tuned by hand.

Visual odometry is in `slam3r_ros.odometry`, loop closure in `slam3r_ros.loop_closure`, multi-view stereo in
`slam3r_ros.dense_depth`; `slam` owns all three.
"""

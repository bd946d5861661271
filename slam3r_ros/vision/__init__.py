"""Classical vision on single images and pairs of images; it imports `geometry` only.

- ``working_image``: the whole undistorted image at the size at which odometry works (`WorkingImage`).
- ``feature_image``: a grey image with its intrinsics, the part that the networks see, and its SIFT features.
- ``pixel_unit``: the unit of lengths in an image, for constants that fit every size.
- ``klt``: corners that are tracked from image to image (Kanade, Lucas and Tomasi).
- ``pnp``: perspective-n-point with RANSAC, and how well a pose explains 2D-3D observations.
- ``pose_refinement``: a pose refined on reprojection errors and on the frame's own pointmap.
- ``motion_only``: motion-only bundle adjustment, the pose of a frame that observes known landmarks.
- ``pose_prior``: L2W's pose and scale of a frame as a prior of bundle adjustment.
- ``relative_pose``: the relative pose of two images from matched features.
- ``image_sampling``: values of an image at positions given as shares of it.
- ``tuning``: the constants of this room that were tuned by hand.
"""

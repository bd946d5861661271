"""Files and images: what comes in as frames and what goes out as maps; nothing here needs ROS.

image_decoding  raw and compressed images to RGB
image_compression  images and depths as messages carry them, and JPEG
camera_info     camera intrinsics from a CameraInfo
sources         videos, folders of images, bags and webcams as frames
bags            the messages of .mcap and .db3 recordings
ply pcd tum     maps and trajectories as files
save            map and trajectory together, where a user asks for them
map_axes        the axes of maps outside the engine (REP-103)
files           files that are there whole or not at all
stamps          times as decimal text
stop_signals    ending cleanly when a signal asks for it
terminal        words for a terminal that may go away
arguments       values of command lines
prefetch        items made ahead of their use
"""

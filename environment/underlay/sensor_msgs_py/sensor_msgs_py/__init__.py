"""A subset of sensor_msgs_py, for a machine without a ROS distribution."""

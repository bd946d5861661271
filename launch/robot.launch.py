"""The slam3r node on a robot with wheel odometry: ros2 launch slam3r_ros robot.launch.py image:=/camera/image_raw.

The map is in metres by odometry, TF goes from map to odom, and ~/grid is made for navigation (doc/robot.md).
"""

import os

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription
from slam3r_ros.ros.input.dds_transport import installed_profiles
from slam3r_ros.ros.parameters.launch_options import node_arguments

SHARE = get_package_share_directory("slam3r_ros")
DEFAULTS = {
    "base_frame": "base_link",
    "tf_mode": "map_to_odom",
    "scale_source": "odometry",
    "publish_grid": "true",
}
"""What a robot needs otherwise than a camera alone; each can be given differently."""


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` asks for."""
    arguments = {
        name: (DEFAULTS.get(name, default), text)
        for name, (default, text) in node_arguments(installed_profiles()).items()
    }
    declared = [DeclareLaunchArgument(name, default_value=d, description=text) for name, (d, text) in arguments.items()]
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(os.path.join(SHARE, "launch", "slam3r.launch.py")),
        launch_arguments={name: LaunchConfiguration(name) for name in arguments}.items(),
    )
    return LaunchDescription([*declared, node])

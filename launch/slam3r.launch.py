"""The slam3r node on a camera's topic: ros2 launch slam3r_ros slam3r.launch.py image:=/camera/image_raw."""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from slam3r_ros.ros.launch_options import PARAMETER_ARGUMENTS, existing_file, node_options
from slam3r_ros.ros.settings import spec_of
from slam3r_ros.ros.transport import choose_transport, socket_limit

SHARE = get_package_share_directory("slam3r_ros")
CONFIG = os.path.join(SHARE, "config")
OWN = {
    "image": ("image", "image topic; with image_transport:=compressed its /compressed is taken"),
    "camera_info": ("", "camera_info topic (default: beside the image topic)"),
    "config": (os.path.join(CONFIG, "slam3r.yaml"), "parameter file"),
    "namespace": ("", "namespace of the node"),
    "use_sim_time": ("false", "take the time from /clock"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
    "rviz": ("false", "start RViz too"),
    "rviz_config": (os.path.join(CONFIG, "slam3r.rviz"), "RViz's configuration"),
    "closed": ("false", "whoever publishes the images has the same environment, as in replay.launch.py"),
}
"""Default and meaning of the arguments that are no parameters of the node."""


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Actions for the arguments' values."""
    # An empty text is the default too: that is what an including launch file passes on.
    arguments = {**context.launch_configurations}
    arguments.update({name: default for name, (default, _) in OWN.items() if not arguments[name]})
    options = node_options(arguments)
    transport = choose_transport(os.environ, socket_limit(), Path(CONFIG), closed=arguments["closed"] == "true")
    actions = [SetEnvironmentVariable(name, value) for name, value in transport.variables]
    if transport.advice:
        actions.append(LogInfo(msg=f"slam3r: {transport.advice}"))
    actions.append(
        Node(
            package="slam3r_ros",
            executable="slam3r_node",
            name="slam3r",
            namespace=arguments["namespace"],
            parameters=[str(existing_file(arguments["config"], "config")), dict(options.parameters)],
            remappings=list(options.remappings),
            arguments=["--ros-args", "--log-level", arguments["log_level"]],
            output="screen",
            emulate_tty=True,
        )
    )
    if arguments["rviz"] == "true":
        actions.append(
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=arguments["namespace"],
                arguments=["-d", str(existing_file(arguments["rviz_config"], "rviz_config"))],
                parameters=[{"use_sim_time": arguments["use_sim_time"] == "true"}],
                output="screen",
            )
        )
    return actions


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` asks for."""
    declared = [DeclareLaunchArgument(name, default_value=d, description=text) for name, (d, text) in OWN.items()]
    declared += [
        DeclareLaunchArgument(
            name, default_value="", description=f"{spec_of(name).meaning} (default: as in the parameter file)"
        )
        for name in PARAMETER_ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])

"""The slam3r node on a camera's topic: ros2 launch slam3r_ros slam3r.launch.py image:=/camera/image_raw."""

import os

from launch.actions import (
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from slam3r_ros.ros.input.dds_transport import choose_transport, installed_profiles, shared_memory_room, socket_limit
from slam3r_ros.ros.parameters.launch_options import existing_file, flag, node_arguments, node_options, viewer_arguments

CONFIG = installed_profiles()
ARGUMENTS = node_arguments(CONFIG)


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Actions for the arguments' values."""
    # An empty text is the default too: that is what an including launch file passes on.
    arguments = {**context.launch_configurations}
    arguments.update({name: default for name, (default, _) in ARGUMENTS.items() if not arguments[name]})
    options = node_options(arguments)
    transport = choose_transport(
        os.environ, socket_limit(), CONFIG, closed=flag(arguments, "closed"), shared_bytes=shared_memory_room()
    )
    actions = [SetEnvironmentVariable(name, value) for name, value in transport.variables]
    if transport.advice:
        actions.append(LogInfo(msg=f"slam3r: {transport.advice}"))
    if flag(arguments, "rviz"):  # before the node, which would be left running alone if RViz is not installed
        actions.append(
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=arguments["namespace"],
                arguments=["-d", str(existing_file(arguments["rviz_config"], "rviz_config"))],
                parameters=[{"use_sim_time": flag(arguments, "use_sim_time")}],
                output="screen",
            )
        )
    if flag(arguments, "viewer"):
        actions.append(
            Node(
                package="slam3r_ros",
                executable="slam3r_viewer",
                name="slam3r_viewer",
                namespace=arguments["namespace"],
                arguments=viewer_arguments(arguments),
                parameters=[{"use_sim_time": flag(arguments, "use_sim_time")}],
                output="screen",
            )
        )
    actions.append(RegisterEventHandler(OnProcessExit(on_exit=tell_failure)))
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
    return actions


def tell_failure(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Say that the node has failed: what else runs, on a robot perhaps, goes on."""
    if event.returncode == 0 or not event.process_name.startswith("slam3r_node"):
        return []
    return [LogInfo(msg=f"slam3r: the node has ended with status {event.returncode}; its last error says why")]


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` asks for."""
    declared = [DeclareLaunchArgument(name, default_value=d, description=text) for name, (d, text) in ARGUMENTS.items()]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])

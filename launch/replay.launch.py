"""The slam3r node on a recording, in the recording's time: ros2 launch slam3r_ros replay.launch.py bag:=FILE."""

import os

from ament_index_python.packages import get_package_share_directory
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from slam3r_ros.ros.input.dds_transport import installed_profiles
from slam3r_ros.ros.parameters.launch_options import existing_path, flag, node_arguments

TOPIC = "/camera/image_raw"
WAIT_S = "3600"
"""The player's patience with a node that first downloads its networks."""
SHARE = get_package_share_directory("slam3r_ros")
OWN = {
    "rate": ("", "images a second (default: as recorded)"),
    "bag_topic": ("", "image topic inside a bag that has several"),
    "loop": ("false", "begin again at the end; the map is then begun anew too (true or false)"),
}
"""Default and meaning of the arguments that are not the node's."""
GIVEN = {"image": TOPIC, "camera_info": "", "image_transport": "raw", "use_sim_time": "true", "closed": "true"}
"""The node's arguments that the recording decides."""
FOR_NODE = {name: value for name, value in node_arguments(installed_profiles()).items() if name not in GIVEN}


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Actions for the arguments' values."""
    arguments = context.launch_configurations
    play = ["play", str(existing_path(arguments["bag"], "bag")), "--topic", TOPIC, "--clock"]
    play += ["--wait-for-subscriber", WAIT_S]
    for name, option in (("rate", "--rate"), ("bag_topic", "--bag-topic")):
        if arguments[name]:
            play += [option, arguments[name]]
    if flag(arguments, "loop"):
        play.append("--loop")
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(os.path.join(SHARE, "launch", "slam3r.launch.py")),
        launch_arguments={**{name: arguments[name] for name in FOR_NODE}, **GIVEN}.items(),
    )
    player = Node(package="slam3r_ros", executable="slam3r_ros", name="slam3r_player", arguments=play, output="screen")
    return [RegisterEventHandler(OnProcessExit(on_exit=end_if_failed)), node, player]


def end_if_failed(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """End all when node or player fails: each would wait for the other. RViz and the live page may go."""
    if event.returncode == 0 or not event.process_name.startswith(("slam3r_node", "slam3r_ros")):
        return []
    return [Shutdown(reason=f"{event.process_name} failed")]


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` asks for."""
    declared = [DeclareLaunchArgument("bag", description="bag (.mcap, .db3), video file or directory of images")]
    declared += [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in (OWN | FOR_NODE).items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])

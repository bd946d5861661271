"""The slam3r node on a recording, in the recording's time: ros2 launch slam3r_ros replay.launch.py bag:=FILE."""

import os

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from slam3r_ros.ros.launch_options import existing_file

TOPIC = "/camera/image_raw"
SHARE = get_package_share_directory("slam3r_ros")
FOR_NODE = ("weights", "device", "config", "rviz", "namespace", "save_on_exit", "log_level", "image_queue", "scale")


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Actions for the arguments' values."""
    arguments = context.launch_configurations
    play = ["play", str(existing_file(arguments["bag"], "bag")), "--topic", TOPIC, "--clock", "--wait-for-subscriber"]
    for name, option in (("rate", "--rate"), ("bag_topic", "--bag-topic")):
        if arguments[name]:
            play += [option, arguments[name]]
    if arguments["loop"] == "true":
        play.append("--loop")
    given = {name: arguments[name] for name in FOR_NODE if arguments.get(name)}
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(os.path.join(SHARE, "launch", "slam3r.launch.py")),
        launch_arguments={**given, "image": TOPIC, "use_sim_time": "true", "closed": "true"}.items(),
    )
    player = Node(package="slam3r_ros", executable="slam3r_ros", name="slam3r_player", arguments=play, output="screen")
    return [node, player]


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` asks for."""
    own = {
        "rate": ("", "images a second (default: as recorded)"),
        "bag_topic": ("", "image topic inside a bag that has several"),
        "loop": ("false", "begin again at the end; the map is then begun anew too"),
    }
    declared = [DeclareLaunchArgument("bag", description="bag (.mcap, .db3), video file or directory of images")]
    declared += [DeclareLaunchArgument(name, default_value=d, description=text) for name, (d, text) in own.items()]
    declared += [
        DeclareLaunchArgument(name, default_value="", description="as for slam3r.launch.py") for name in FOR_NODE
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])

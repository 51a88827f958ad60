"""Labels point clouds with this bundle, by the $language node.

ros2 launch $name.launch.py points:=/lidar/points

Needs $needs; no package of ROS has to be built.
"""

import os
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

HERE = Path(__file__).resolve().parent
ARGUMENTS = "$arguments"


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    points = DeclareLaunchArgument("points", default_value="/points", description="Topic with the clouds.")
    params_file = DeclareLaunchArgument(
        "params_file",
        default_value=str(HERE / "segmentation.param.yaml"),
        description="Parameters but for the bundle; to change some, copy the file elsewhere.",
    )
    program = DeclareLaunchArgument("$argument", default_value="$program", description="$description")
    node = Node(
        executable=LaunchConfiguration("$argument"),
        arguments=ARGUMENTS.split(),
        parameters=[LaunchConfiguration("params_file"), {"bundle": str(HERE.parent)}],
        remappings=[("points", LaunchConfiguration("points"))],
        output="screen",
        # ONNX Runtime since 1.29 sends events to its maker otherwise.
        additional_env={"ORT_DISABLE_TELEMETRY": os.environ.get("ORT_DISABLE_TELEMETRY", "1")},
    )
    return LaunchDescription([points, params_file, program, node])

"""Labels point clouds with this bundle.

ros2 launch segmentation.launch.py points:=/lidar/points

Needs hwnas, numpy and onnxruntime for the Python that runs it; no package has to be built.
"""

import os
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

HERE = Path(__file__).resolve().parent


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    points = DeclareLaunchArgument("points", default_value="/points", description="Topic with the clouds.")
    params_file = DeclareLaunchArgument(
        "params_file",
        default_value=str(HERE / "segmentation.param.yaml"),
        description="Parameters but for the bundle; to change some, copy the file elsewhere.",
    )
    python = DeclareLaunchArgument("python", default_value="python3", description="Python that has hwnas.")
    node = Node(
        executable=LaunchConfiguration("python"),
        arguments=["-m", "hwnas.robotics.ros2_node"],
        parameters=[LaunchConfiguration("params_file"), {"bundle": str(HERE.parent)}],
        remappings=[("points", LaunchConfiguration("points"))],
        output="screen",
        # ONNX Runtime since 1.29 sends events to its maker otherwise.
        additional_env={"ORT_DISABLE_TELEMETRY": os.environ.get("ORT_DISABLE_TELEMETRY", "1")},
    )
    return LaunchDescription([points, params_file, python, node])

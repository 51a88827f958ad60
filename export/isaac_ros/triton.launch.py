"""Serves the Triton model repository of this bundle with the Triton node of Isaac ROS.

ros2 launch triton.launch.py
"""

import os
from pathlib import Path

from launch import LaunchDescription
from launch_ros.actions import ComposableNodeContainer
from launch_ros.descriptions import ComposableNode

HERE = Path(__file__).resolve().parent


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    node = ComposableNode(
        name="triton",
        package="isaac_ros_triton",
        plugin="nvidia::isaac_ros::dnn_inference::TritonNode",
        parameters=[
            str(HERE / "triton.param.yaml"),
            {"model_repository_paths": [str(HERE.parent / "triton")]},
        ],
    )
    container = ComposableNodeContainer(
        name="triton_container",
        namespace="",
        package="rclcpp_components",
        executable="component_container_mt",
        composable_node_descriptions=[node],
        output="screen",
        # ONNX Runtime since 1.29 sends events to its maker otherwise.
        additional_env={"ORT_DISABLE_TELEMETRY": os.environ.get("ORT_DISABLE_TELEMETRY", "1")},
    )
    return LaunchDescription([container])

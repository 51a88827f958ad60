"""Loads an engine of this bundle with the TensorRT node of Isaac ROS.

    ros2 launch tensor_rt.launch.py engine_file_path:=/path/to/the.engine

Where the bundle holds an engine of TensorRT, that is the default. An engine must have been built for this
kind of device, with this version of TensorRT, from the ONNX file that README.md names. It is never rebuilt
here: the node would do so without a word if the file were missing, so that is checked first.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import ComposableNodeContainer
from launch_ros.descriptions import ComposableNode

HERE = Path(__file__).resolve().parent
MODEL = HERE.parent / "$source"
ENGINE = "$engine"


def containers(context: LaunchContext) -> list[ComposableNodeContainer]:
    """Return the container with the node, once the engine is known to exist."""
    engine = Path(LaunchConfiguration("engine_file_path").perform(context)).expanduser().resolve()
    if not engine.is_file():
        raise RuntimeError(
            f"There is no engine {engine}. Build one on this device; see {HERE / 'README.md'}."
        )
    node = ComposableNode(
        name="tensor_rt",
        package="isaac_ros_tensor_rt",
        plugin="nvidia::isaac_ros::dnn_inference::TensorRTNode",
        parameters=[
            str(HERE / "tensor_rt.param.yaml"),
            # The node wants the name of an ONNX file even where it loads an engine.
            {"engine_file_path": str(engine), "model_file_path": str(MODEL)},
        ],
    )
    container = ComposableNodeContainer(
        name="tensor_rt_container",
        namespace="",
        package="rclcpp_components",
        executable="component_container_mt",
        composable_node_descriptions=[node],
        output="screen",
    )
    return [container]


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    default = {"default_value": str(HERE.parent / ENGINE)} if ENGINE else {}
    engine = DeclareLaunchArgument(
        "engine_file_path", description="Engine, built for this device.", **default
    )
    return LaunchDescription([engine, OpaqueFunction(function=containers)])

"""Loads the component into a container. A driver loaded beside it hands clouds over without a copy.

ros2 launch hwnas_ros_cpp segmentation_container.launch.py bundle:=/path/to/bundle points:=/lidar/points
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import ComposableNodeContainer
from launch_ros.descriptions import ComposableNode
from launch_ros.substitutions import FindPackageShare


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    parameters = PathJoinSubstitution(
        [FindPackageShare("hwnas_ros_cpp"), "config", "segmentation.param.yaml"]
    )
    component = ComposableNode(
        package="hwnas_ros_cpp",
        plugin="hwnas::ros::SegmentationComponent",
        name="hwnas_segmentation",
        parameters=[LaunchConfiguration("params_file"), {"bundle": LaunchConfiguration("bundle")}],
        remappings=[("points", LaunchConfiguration("points"))],
        extra_arguments=[{"use_intra_process_comms": True}],
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument("bundle", description="Directory of the bundle."),
            DeclareLaunchArgument("points", default_value="/points", description="Topic with the clouds."),
            DeclareLaunchArgument(
                "params_file", default_value=parameters, description="All other parameters."
            ),
            # With several threads: clouds go on arriving while a bundle is opened.
            ComposableNodeContainer(
                name="hwnas_container",
                namespace="",
                package="rclcpp_components",
                executable="component_container_mt",
                composable_node_descriptions=[component],
                output="screen",
            ),
        ]
    )

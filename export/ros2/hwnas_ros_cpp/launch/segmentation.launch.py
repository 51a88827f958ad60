"""Runs the component in a process of its own.

ros2 launch hwnas_ros_cpp segmentation.launch.py bundle:=/path/to/bundle points:=/lidar/points
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    parameters = PathJoinSubstitution(
        [FindPackageShare("hwnas_ros_cpp"), "config", "segmentation.param.yaml"]
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument("bundle", description="Directory of the bundle."),
            DeclareLaunchArgument("points", default_value="/points", description="Topic with the clouds."),
            DeclareLaunchArgument(
                "params_file", default_value=parameters, description="All other parameters."
            ),
            Node(
                package="hwnas_ros_cpp",
                executable="segmentation_node",
                parameters=[
                    LaunchConfiguration("params_file"),
                    {"bundle": LaunchConfiguration("bundle")},
                ],
                remappings=[("points", LaunchConfiguration("points"))],
                output="screen",
            ),
        ]
    )

# The lifecycle component, in a workspace of ROS 2.

foreach(package rclcpp rclcpp_components rclcpp_lifecycle rcl_interfaces diagnostic_msgs sensor_msgs)
  find_package(${package} REQUIRED)
endforeach()

add_library(segmentation_component SHARED component/segmentation_component.cpp)
target_link_libraries(segmentation_component PRIVATE hwnas_ros_core rclcpp::rclcpp rclcpp_lifecycle::rclcpp_lifecycle
  rclcpp_components::component ${rcl_interfaces_TARGETS} ${diagnostic_msgs_TARGETS} ${sensor_msgs_TARGETS})
# In a container without several threads, clouds would wait while a bundle is opened.
rclcpp_components_register_node(segmentation_component PLUGIN "hwnas::ros::SegmentationComponent"
  EXECUTABLE segmentation_node EXECUTOR MultiThreadedExecutor)
list(APPEND targets segmentation_component)

install(TARGETS segmentation_component LIBRARY DESTINATION lib)
install(DIRECTORY launch config DESTINATION share/${PROJECT_NAME})
ament_package()

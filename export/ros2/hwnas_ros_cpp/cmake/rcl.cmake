# The node on the C interface of ROS, from a directory in which ROS 2 is installed: /opt/ros/DISTRIBUTION, or an
# environment of Python with its wheels (scripts/prepare_ros2). The CMake packages of those wheels name directories of
# the machine that built them, so that headers and libraries are looked for here.

set(ros_packages
  builtin_interfaces diagnostic_msgs rcl rcl_interfaces rcl_yaml_param_parser rcutils rmw rosidl_dynamic_typesupport
  rosidl_runtime_c rosidl_runtime_cpp rosidl_typesupport_cpp rosidl_typesupport_interface sensor_msgs service_msgs
  std_msgs geometry_msgs tracetools type_description_interfaces)
set(ros_includes "")
foreach(package ${ros_packages})
  if(IS_DIRECTORY "${HWNAS_RCL_PREFIX}/include/${package}/${package}")
    list(APPEND ros_includes "${HWNAS_RCL_PREFIX}/include/${package}")
  endif()
endforeach()
find_file(RCL_HEADER rcl/rcl.h PATHS ${ros_includes} NO_DEFAULT_PATH NO_CACHE)
if(NOT RCL_HEADER)
  message(FATAL_ERROR "There is no include/rcl/rcl/rcl.h in HWNAS_RCL_PREFIX, ${HWNAS_RCL_PREFIX}: name a directory in "
                      "which ROS 2 is installed.")
endif()

set(ros_libraries "")
foreach(name rcl rcl_yaml_param_parser rcutils rmw rosidl_runtime_c rosidl_typesupport_cpp
        sensor_msgs__rosidl_typesupport_cpp diagnostic_msgs__rosidl_typesupport_cpp)
  find_library(ROS_LIBRARY_${name} ${name} PATHS "${HWNAS_RCL_PREFIX}/lib" NO_DEFAULT_PATH REQUIRED)
  list(APPEND ros_libraries "${ROS_LIBRARY_${name}}")
endforeach()

add_executable(hwnas_segmentation_node rcl/arguments.cpp rcl/segmentation_node.cpp)
target_include_directories(hwnas_segmentation_node SYSTEM PRIVATE ${ros_includes})
target_link_libraries(hwnas_segmentation_node PRIVATE hwnas_ros_core ${ros_libraries})

# Of wheels: libraries that others bring lie in directories of their own, and some use symbols of the interpreter.
set(library_path "${HWNAS_RCL_PREFIX}/lib")
file(GLOB bundled "${HWNAS_RCL_PREFIX}/lib/python3.*/site-packages/ros_*.libs")
if(bundled)
  list(APPEND library_path ${bundled})
  execute_process(
    COMMAND "${HWNAS_RCL_PREFIX}/bin/python" -c
            "import sysconfig; print(sysconfig.get_config_var('LIBDIR') + '/' + sysconfig.get_config_var('LDLIBRARY'))"
    OUTPUT_VARIABLE python_library OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT python_library MATCHES "[.]so")
    message(FATAL_ERROR "The libraries of these wheels need a shared library of Python, and that of "
                        "${HWNAS_RCL_PREFIX}/bin/python is none: ${python_library}.")
  endif()
  target_link_libraries(hwnas_segmentation_node PRIVATE -Wl,--no-as-needed "${python_library}" -Wl,--as-needed)
  target_link_options(hwnas_segmentation_node PRIVATE -Wl,--unresolved-symbols=ignore-in-shared-libs)
endif()
# Libraries that are loaded by name while the node runs are found there, too, unlike with RUNPATH.
target_link_options(hwnas_segmentation_node PRIVATE -Wl,--disable-new-dtags)
set_target_properties(hwnas_segmentation_node PROPERTIES
  BUILD_RPATH "${library_path}" INSTALL_RPATH "$ORIGIN/../lib;${library_path}")
list(APPEND targets hwnas_segmentation_node)
install(TARGETS hwnas_segmentation_node RUNTIME DESTINATION bin)

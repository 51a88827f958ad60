// Refusals of data, as a DataError of Python.

#ifndef HWNAS_ROS_SRC_REFUSING_HPP_
#define HWNAS_ROS_SRC_REFUSING_HPP_

#include <string>

#include "hwnas_runtime/error.hpp"

namespace hwnas::ros {

[[noreturn]] void refuse(const std::string& message);

}  // namespace hwnas::ros

#endif  // HWNAS_ROS_SRC_REFUSING_HPP_

// Parameters of the node from its command line: options of its own, and those of ROS.

#ifndef HWNAS_ROS_RCL_ARGUMENTS_HPP_
#define HWNAS_ROS_RCL_ARGUMENTS_HPP_

#include <map>
#include <string>
#include <vector>

#include <rmw/types.h>

#include "handles.hpp"
#include "hwnas_ros/node_settings.hpp"

namespace hwnas::ros {

/// Parameters by name, whatever they are called.
using Parameters = std::map<std::string, Value>;

/// What `-p NAME:=VALUE` and parameter files say for a node, whose name is given with its namespace.
///
/// Throws hwnas::runtime::Error (kArgument) if a value is of a type that no parameter has.
Parameters parameters_of_ros(const Context& context, const std::string& node);

/// Arguments that are not for ROS.
std::vector<std::string> own_arguments(const Context& context, int argc, char** argv);

/// What options such as `--bundle B`, `--bundle=B` and `--remove-classes car,truck` say.
///
/// Throws hwnas::runtime::Error (kArgument) if there is no such parameter, or a value is not allowed.
Parameters parameters_of_options(const std::vector<std::string>& arguments);

/// How the input is subscribed: best effort, 20 deep, unless parameters `qos_overrides.TOPIC.subscription.reliability`
/// and `.depth` say otherwise.
///
/// Throws hwnas::runtime::Error (kArgument) if one says what cannot be.
rmw_qos_profile_t input_qos(const Parameters& parameters, const std::string& topic);

/// What `--help` prints.
std::string usage();

}  // namespace hwnas::ros

#endif  // HWNAS_ROS_RCL_ARGUMENTS_HPP_

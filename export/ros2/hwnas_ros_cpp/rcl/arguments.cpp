#include "arguments.hpp"

#include <algorithm>
#include <memory>
#include <regex>

#include <rcl/arguments.h>
#include <rcl_yaml_param_parser/parser.h>
#include <rmw/qos_profiles.h>

#include "hwnas_runtime/words.hpp"

namespace hwnas::ros {
namespace {

using runtime::shown;

[[noreturn]] void refuse_argument(const std::string& message) {
  throw runtime::Error(runtime::ErrorKind::kArgument, message);
}

Value value_of(const std::string& name, const rcl_variant_t& given) {
  if (given.bool_value) return *given.bool_value;
  if (given.integer_value) return *given.integer_value;
  if (given.double_value) return *given.double_value;
  if (given.string_value) return std::string(given.string_value);
  if (given.string_array_value) {
    const rcutils_string_array_t& texts = *given.string_array_value;
    return std::vector<std::string>(texts.data, texts.data + texts.size);
  }
  refuse_argument("`" + name + "` is a list of something else than texts; no parameter of the node is.");
}

// Whether a name in a parameter file, such as `/**`, means a node.
bool is_meant(std::string pattern, const std::string& node) {
  if (pattern.empty() || pattern[0] != '/') pattern.insert(0, "/");
  std::string expression;
  for (size_t at = 0; at < pattern.size(); ++at) {
    if (pattern.compare(at, 2, "/*") == 0) {
      expression += "(/\\w+)";
      ++at;
    } else {
      expression += pattern[at];
    }
  }
  return std::regex_match(node, std::regex(expression));
}

std::string parameter_of(std::string option) {
  std::replace(option.begin(), option.end(), '-', '_');
  return option;
}

std::string option_of(std::string parameter) {
  std::replace(parameter.begin(), parameter.end(), '_', '-');
  return "--" + parameter;
}

}  // namespace

Parameters parameters_of_ros(const Context& context, const std::string& node) {
  rcl_params_t* params = nullptr;
  check_ros(rcl_arguments_get_param_overrides(&context.context.global_arguments, &params),
            "Parameters cannot be read");
  Parameters found;
  if (!params) return found;
  const std::unique_ptr<rcl_params_t, void (*)(rcl_params_t*)> owner(params, rcl_yaml_node_struct_fini);
  for (size_t i = 0; i < params->num_nodes; ++i) {
    if (!is_meant(params->node_names[i], node)) continue;
    const rcl_node_params_t& of_node = params->params[i];
    for (size_t k = 0; k < of_node.num_params; ++k) {
      const std::string name = of_node.parameter_names[k];
      found[name] = value_of(name, of_node.parameter_values[k]);
    }
  }
  return found;
}

std::vector<std::string> own_arguments(const Context& context, int argc, char** argv) {
  const rcl_arguments_t& arguments = context.context.global_arguments;
  const int unknown = rcl_arguments_get_count_unparsed_ros(&arguments);
  if (unknown > 0) refuse_argument("ROS does not understand " + std::to_string(unknown) + " of its arguments.");
  int* places = nullptr;
  check_ros(rcl_arguments_get_unparsed(&arguments, context.allocator, &places), "Arguments cannot be read");
  std::vector<std::string> found;
  const int count = rcl_arguments_get_count_unparsed(&arguments);
  for (int i = 0; i < count; ++i) {
    if (places[i] > 0 && places[i] < argc) found.emplace_back(argv[places[i]]);
  }
  if (places) context.allocator.deallocate(places, context.allocator.state);
  return found;
}

Parameters parameters_of_options(const std::vector<std::string>& arguments) {
  Parameters found;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument.rfind("--", 0) != 0) refuse_argument("Expected options, found " + shown(argument) + ".");
    const size_t equals = argument.find('=');
    const std::string name = parameter_of(argument.substr(2, equals == std::string::npos ? equals : equals - 2));
    const std::vector<NodeParameter>& known = node_parameters();
    const auto parameter =
        std::find_if(known.begin(), known.end(), [&](const NodeParameter& one) { return one.name == name; });
    if (parameter == known.end()) {
      const std::string option = argument.substr(0, equals);
      std::vector<std::string> options;
      for (const NodeParameter& one : known) options.push_back(option_of(one.name));
      refuse_argument("There is no option " + shown(option) + "." + runtime::did_you_mean(option, options));
    }
    if (equals == std::string::npos && i + 1 == arguments.size()) refuse_argument(argument + " takes a value.");
    found[name] = parameter->of_text(equals == std::string::npos ? arguments[++i] : argument.substr(equals + 1));
  }
  return found;
}

rmw_qos_profile_t input_qos(const Parameters& parameters, const std::string& topic) {
  // As the middleware's profile for sensor data, but deeper: what is not fetched in time is overwritten, while what is
  // fetched waits for nobody. Two seconds at 10 Hz.
  rmw_qos_profile_t qos = rmw_qos_profile_sensor_data;
  qos.depth = 20;
  const std::string prefix = "qos_overrides." + topic + ".subscription.";
  const auto reliability = parameters.find(prefix + "reliability"), depth = parameters.find(prefix + "depth");
  if (reliability != parameters.end()) {
    const std::string* text = std::get_if<std::string>(&reliability->second);
    if (!text || (*text != "reliable" && *text != "best_effort")) {
      refuse_argument("`" + reliability->first + "` must be reliable or best_effort.");
    }
    qos.reliability = *text == "reliable" ? RMW_QOS_POLICY_RELIABILITY_RELIABLE : RMW_QOS_POLICY_RELIABILITY_BEST_EFFORT;
  }
  if (depth != parameters.end()) {
    const int64_t* number = std::get_if<int64_t>(&depth->second);
    if (!number || *number < 1) refuse_argument("`" + depth->first + "` must be a whole number from 1.");
    qos.depth = static_cast<size_t>(*number);
  }
  return qos;
}

std::string usage() {
  std::string text =
      "hwnas_segmentation_node --bundle BUNDLE [OPTION VALUE]... [--ros-args -r points:=/lidar/points ...]\n\n"
      "Labels the clouds on `points` with a bundle of hwnas, and publishes POINTS/segmentation, POINTS/visualization,\n"
      "POINTS/filtered and /diagnostics. Options are the parameters of the node; -p NAME:=VALUE after --ros-args, or a\n"
      "file after --params-file, sets them, too.\n\n";
  for (const NodeParameter& parameter : node_parameters()) {
    if (parameter.name == "autostart") continue;
    text += "  " + option_of(parameter.name) + "\n      " + parameter.description + "\n";
  }
  return text;
}

}  // namespace hwnas::ros

// Parameters of a node that labels clouds; see hwnas.robotics.node_settings, whose table this is.

#ifndef HWNAS_ROS_NODE_SETTINGS_HPP_
#define HWNAS_ROS_NODE_SETTINGS_HPP_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cloud_points.hpp"
#include "hwnas_runtime/runtime.hpp"

namespace hwnas::ros {

using Value = std::variant<bool, int64_t, double, std::string, std::vector<std::string>>;

/// A parameter as a node declares it.
struct NodeParameter {
  std::string name;
  Value default_value;  ///< its type is that of all values
  std::string description;
  std::optional<std::pair<double, double>> range = {};  ///< lowest and highest number
  std::vector<std::string> choices = {};                ///< texts that it may be; empty for any
  bool is_read_only = false;                            ///< whether it counts only when the node begins
  bool is_of_network = false;                           ///< whether a change opens the bundle anew

  /// What `range` cannot say, for people.
  std::string constraints() const;
  /// Returns a value, whole numbers as such where the parameter is a float.
  ///
  /// Throws hwnas::runtime::Error (kArgument) if it is of another type, out of range, or none of the choices.
  Value checked(const Value& value) const;
  /// Returns the value that a text on a command line means: lists are separated by commas.
  ///
  /// Throws hwnas::runtime::Error (kArgument) as `checked`.
  Value of_text(const std::string& text) const;
};

const std::vector<NodeParameter>& node_parameters();

/// Values of all parameters, each checked by itself.
class NodeSettings {
 public:
  /// Parameters that are not given have their defaults.
  ///
  /// Throws hwnas::runtime::Error (kArgument) if a name is unknown, a value is not allowed, or two contradict each other.
  explicit NodeSettings(const std::map<std::string, Value>& given);

  /// Directory of the bundle. Throws hwnas::runtime::Error (kArgument) if none is named.
  std::string bundle() const;
  std::optional<runtime::Trust> trust() const;
  std::string precision() const { return text("precision"); }
  std::string backend() const { return text("backend"); }
  int threads() const { return static_cast<int>(std::get<int64_t>(values_.at("threads"))); }
  bool visualization() const { return std::get<bool>(values_.at("visualization")); }
  bool autostart() const { return std::get<bool>(values_.at("autostart")); }
  /// Names of classes that filtered clouds leave out.
  std::vector<std::string> remove_classes() const;
  /// Which fields hold what, where a parameter says so; what the bundle states counts for the others.
  CloudFields fields(const runtime::StoredClouds& stated) const;

 private:
  std::string text(const std::string& name) const { return std::get<std::string>(values_.at(name)); }
  std::map<std::string, Value> values_;
};

}  // namespace hwnas::ros

#endif  // HWNAS_ROS_NODE_SETTINGS_HPP_

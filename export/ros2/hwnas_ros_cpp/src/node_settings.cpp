#include "hwnas_ros/node_settings.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <iterator>

#include "hwnas_runtime/words.hpp"

namespace hwnas::ros {
namespace {

using runtime::did_you_mean;
using runtime::format;
using runtime::joined;
using runtime::repr;
using runtime::shown;
using Texts = std::vector<std::string>;

[[noreturn]] void refuse_setting(const std::string& message) {
  throw runtime::Error(runtime::ErrorKind::kArgument, message);
}

std::string in_words(const Value& value) {
  struct Words {
    std::string operator()(bool truth) const { return truth ? "true" : "false"; }
    std::string operator()(int64_t number) const { return std::to_string(number); }
    std::string operator()(double number) const { return repr(number); }
    std::string operator()(const std::string& text) const { return shown(text); }
    std::string operator()(const Texts& texts) const {
      Texts parts;
      for (size_t i = 0; i < texts.size() && i < 8; ++i) parts.push_back(shown(texts[i]));
      const std::string all = "[" + joined(parts, ", ") + (texts.size() > 8 ? ", ..." : "") + "]";
      return all.size() <= 120 ? all : "a list of " + std::to_string(texts.size());
    }
  };
  return std::visit(Words{}, value);
}

const char* kind_of(const Value& value) {
  constexpr std::array<const char*, 5> kKinds = {"true or false", "a whole number", "a number", "a text",
                                                 "a list of texts"};
  return kKinds[value.index()];
}

std::string field_with(const std::string& what, const char* usual) {
  return "Name of the field with the " + what + ". Empty: the first of " + usual + " that is there.";
}

std::vector<NodeParameter> make_parameters() {
  std::vector<NodeParameter> all;
  const auto add = [&](const char* name, Value value, std::string description) -> NodeParameter& {
    return all.emplace_back(NodeParameter{name, std::move(value), std::move(description)});
  };
  const auto add_of_network = [&](const char* name, Value value, std::string description) -> NodeParameter& {
    NodeParameter& made = add(name, std::move(value), std::move(description));
    made.is_of_network = true;
    return made;
  };
  const auto text = [](const char* value) { return Value(std::string(value)); };
  add_of_network("bundle", text(""),
                 "Directory of the bundle, as `hwnas export` writes it. Setting it, even to the same path, opens the "
                 "bundle anew; until that is done, and if it cannot be, the one before goes on.");
  add_of_network("precision", text("fp32"),
                 "Of the network: one that the bundle holds, or recommended for what was found best on its target.");
  add_of_network("backend", text("onnxruntime"),
                 "What runs the network: onnxruntime on the CPU, or an engine of the bundle.")
      .choices = {"onnxruntime", "tensorrt", "tensorrt-rtx"};
  add_of_network("threads", int64_t{1}, "Threads of one inference on the CPU; 0: one for every core.").range = {0.0,
                                                                                                               1024.0};
  add_of_network("allowed_signers", text(""),
                 "File of OpenSSH with the keys that may have signed the bundle. Empty: unsigned ones are run, too.");
  add_of_network("identity", text(""),
                 "Whose signature is wanted, such as fleet@example.com; with allowed_signers.");
  add("intensity_scale", 1.0, "By which intensities are multiplied, to become what the network was trained with.")
      .range = {1e-9, 1e9};
  add("x", text("x"), "Name of the field with the first coordinate, in metres.");
  add("y", text("y"), "Name of the field with the second coordinate, in metres.");
  add("z", text("z"), "Name of the field with the third coordinate, in metres.");
  add("intensity", text(""), field_with("intensity", "intensity, reflectivity, reflectance, remission, i"));
  add("ring", text(""), field_with("ring", "ring, channel, line"));
  add("time", text(""), field_with("time of a point", "t, time, timestamp, time_stamp"));
  add("time_unit", text(""), "Unit of that time. Empty: told by its type.").choices = {"", "s", "ms", "us", "ns"};
  add("visualization", true, "Publish coloured clouds while somebody listens to them: POINTS/visualization.");
  add("remove_classes", Texts{""},
      "Names of classes; if there are any, POINTS/filtered holds the input without their points. Empty names do not "
      "count.");
  add("autostart", true,
      "Configure and activate the node as soon as it is there. false: something else does, such as a lifecycle "
      "manager.")
      .is_read_only = true;
  return all;
}

const NodeParameter* find_parameter(const std::string& name) {
  for (const NodeParameter& parameter : node_parameters()) {
    if (parameter.name == name) return &parameter;
  }
  return nullptr;
}

std::string expanded(const std::string& path) {
  const char* home = std::getenv("HOME");
  return home && (path == "~" || path.rfind("~/", 0) == 0) ? home + path.substr(1) : path;
}

std::string stripped(const std::string& text) {
  constexpr const char* kSpaces = " \t\n\r\f\v";
  const size_t start = text.find_first_not_of(kSpaces);
  return start == std::string::npos ? "" : text.substr(start, text.find_last_not_of(kSpaces) - start + 1);
}

// The number that a whole text is; nothing if it is none.
template <typename T>
std::optional<T> number_of(const std::string& text, T (*parse)(const char*, char**)) {
  if (text.empty() || std::isspace(static_cast<unsigned char>(text[0]))) return std::nullopt;
  char* end = nullptr;
  errno = 0;
  const T value = parse(text.c_str(), &end);
  return errno || *end ? std::nullopt : std::optional<T>(value);
}

}  // namespace

std::string NodeParameter::constraints() const {
  Texts words;
  for (const std::string& one : choices) words.push_back(one.empty() ? "an empty text" : one);
  return choices.empty() ? "" : "one of " + joined(words, ", ");
}

Value NodeParameter::checked(const Value& given) const {
  Value value = given;
  if (std::holds_alternative<double>(default_value) && std::holds_alternative<int64_t>(value)) {
    value = static_cast<double>(std::get<int64_t>(value));
  }
  if (value.index() != default_value.index()) {
    refuse_setting("`" + name + "` is " + in_words(value) + "; expected " + kind_of(default_value) + ".");
  }
  if (range) {
    const double number = std::holds_alternative<double>(value) ? std::get<double>(value)
                                                                : static_cast<double>(std::get<int64_t>(value));
    if (!(std::isfinite(number) && range->first <= number && number <= range->second)) {
      refuse_setting("`" + name + "` is " + in_words(value) +
                     format("; expected a number from %g to %g.", range->first, range->second));
    }
  }
  if (choices.empty()) return value;
  const std::string& text = std::get<std::string>(value);
  if (std::find(choices.begin(), choices.end(), text) == choices.end()) {
    Texts named;
    std::copy_if(choices.begin(), choices.end(), std::back_inserter(named), [](const auto& one) { return !one.empty(); });
    refuse_setting("`" + name + "` is " + in_words(value) + "; expected " + constraints() + "." +
                   did_you_mean(text, named));
  }
  return value;
}

Value NodeParameter::of_text(const std::string& given) const {
  if (std::holds_alternative<std::string>(default_value)) return checked(given);
  if (std::holds_alternative<Texts>(default_value)) {
    Texts parts;
    for (size_t at = 0; at <= given.size();) {
      const size_t end = std::min(given.find(',', at), given.size());
      parts.push_back(given.substr(at, end - at));
      at = end + 1;
    }
    return checked(parts);
  }
  if (std::holds_alternative<bool>(default_value)) {
    if (given == "true" || given == "false") return checked(given == "true");
  } else if (std::holds_alternative<double>(default_value)) {
    if (const auto number = number_of<double>(given, std::strtod)) return checked(*number);
  } else {
    const auto parse = [](const char* text, char** end) { return std::strtoll(text, end, 10); };
    if (const auto number = number_of<long long>(given, parse)) return checked(static_cast<int64_t>(*number));
  }
  return checked(given);  // which refuses it
}

const std::vector<NodeParameter>& node_parameters() {
  static const std::vector<NodeParameter> all = make_parameters();
  return all;
}

NodeSettings::NodeSettings(const std::map<std::string, Value>& given) {
  for (const auto& one : given) {
    if (find_parameter(one.first)) continue;
    Texts names;
    for (const NodeParameter& parameter : node_parameters()) names.push_back(parameter.name);
    refuse_setting("The node has no parameter " + shown(one.first) + "; it has " + joined(names, ", ") + "." +
                   did_you_mean(one.first, names));
  }
  for (const NodeParameter& parameter : node_parameters()) {
    const auto found = given.find(parameter.name);
    values_[parameter.name] = parameter.checked(found == given.end() ? parameter.default_value : found->second);
  }
  trust();  // refuses one of two
}

std::string NodeSettings::bundle() const {
  std::string path = text("bundle");
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (path.empty()) {
    refuse_setting("`bundle` is empty; name the directory of a bundle, as `hwnas export` writes it.");
  }
  return expanded(path);
}

std::optional<runtime::Trust> NodeSettings::trust() const {
  const std::string signers = text("allowed_signers"), identity = stripped(text("identity"));
  if (signers.empty() != identity.empty()) {
    refuse_setting(
        "`allowed_signers` and `identity` go together: the file says which keys may sign, the name says whose "
        "signature is wanted.");
  }
  if (signers.empty()) return std::nullopt;
  return runtime::Trust{expanded(signers), identity};
}

std::vector<std::string> NodeSettings::remove_classes() const {
  Texts names = std::get<Texts>(values_.at("remove_classes"));
  names.erase(std::remove(names.begin(), names.end(), ""), names.end());
  return names;
}

CloudFields NodeSettings::fields(const runtime::StoredClouds& stated) const {
  CloudFields found;
  const std::pair<const char*, std::string*> names[] = {
      {"x", &found.x},       {"y", &found.y},       {"z", &found.z},
      {"intensity", &found.intensity}, {"ring", &found.ring}, {"time", &found.time}};
  const auto choose = [&](const char* name, std::string& chosen) {
    const std::string own = text(name);
    const bool is_default = Value(own) == find_parameter(name)->default_value;
    if (!own.empty() && !is_default) {
      chosen = own;
    } else if (const auto option = stated.text_option(name)) {
      chosen = *option;
    }
  };
  for (const auto& one : names) choose(one.first, *one.second);
  found.intensity_scale = std::get<double>(values_.at("intensity_scale"));
  if (found.intensity_scale == 1.0) found.intensity_scale = stated.number_option("intensity_scale").value_or(1.0);
  choose("time_unit", found.time_unit);
  found.check();
  return found;
}

}  // namespace hwnas::ros

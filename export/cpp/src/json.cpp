#include "json.h"

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "text.h"

namespace hwnas::runtime {
namespace {

constexpr int kDeepest = 200;
// Objects keep the order of the file and are searched from the front: a hundred thousand names would take half a minute.
constexpr int kMostNames = 20000;

}  // namespace

Json parse_json(std::string_view text) {
  int names = 0;
  const auto check = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > kDeepest) throw std::invalid_argument("it is nested too deeply");
    if (event == Json::parse_event_t::key && ++names > kMostNames) {
      throw std::invalid_argument("it has more than " + std::to_string(kMostNames) + " names");
    }
    if (value.is_number_float() && !std::isfinite(value.get<double>())) {
      throw std::invalid_argument("it holds a number that is not finite");
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), check);
  } catch (const Json::exception& error) {
    throw std::invalid_argument(error.what());
  }
}

std::string repr(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null: return "None";
    case Json::value_t::boolean: return value.get<bool>() ? "True" : "False";
    case Json::value_t::string: return repr(value.get_ref<const std::string&>());
    case Json::value_t::number_float: return repr(value.get<double>());
    case Json::value_t::array:
    case Json::value_t::object: break;
    default: return value.dump();
  }
  std::vector<std::string> parts;
  for (const auto& item : value.items()) {
    parts.push_back((value.is_object() ? repr(item.key()) + ": " : "") + repr(item.value()));
  }
  return value.is_object() ? "{" + joined(parts, ", ") + "}" : "[" + joined(parts, ", ") + "]";
}

const char* type_name(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null: return "NoneType";
    case Json::value_t::boolean: return "bool";
    case Json::value_t::string: return "str";
    case Json::value_t::number_float: return "float";
    case Json::value_t::array: return "list";
    case Json::value_t::object: return "dict";
    default: return "int";
  }
}

const Json* find(const Json& value, const char* key) {
  if (!value.is_object()) return nullptr;
  const auto found = value.find(key);
  return found == value.end() ? nullptr : &*found;
}

}  // namespace hwnas::runtime

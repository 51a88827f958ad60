// JSON of manifests: keys in the order of the file, and values in words as Python writes them.

#ifndef HWNAS_RUNTIME_SRC_JSON_H_
#define HWNAS_RUNTIME_SRC_JSON_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "json_forward.h"

namespace hwnas::runtime {

// The value of a text. Throws std::invalid_argument with the reason if it is no JSON, is nested more than 200
// levels deep, has more than 20,000 names of members, or holds a number that is not finite.
Json parse_json(std::string_view text);

// `repr` of the value, as Python reads it.
std::string repr(const Json& value);

// Name of the type that Python gives it: dict, list, str, int, float, bool or NoneType.
const char* type_name(const Json& value);

// Member of an object; null if there is none, or `value` is no object.
const Json* find(const Json& value, const char* key);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_JSON_H_

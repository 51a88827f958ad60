// Hostile values anywhere in a JSON document that stays one, which changes of bytes seldom leave.

#ifndef HWNAS_RUNTIME_TESTS_JSON_DAMAGE_H_
#define HWNAS_RUNTIME_TESTS_JSON_DAMAGE_H_

#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "json.h"

namespace hwnas::runtime {

inline void collect(Json& value, std::vector<Json*>& all) {
  all.push_back(&value);
  if (!value.is_structured()) return;
  for (Json& item : value) collect(item, all);
}

inline Json hostile_value(const Json& before, std::mt19937_64& random) {
  static const Json kValues = Json::parse(R"([
    null, true, false, 0, -1, 1, 2, 3, 5, 7, 16, 17, 31, 128, 254, 255, 256, 2048, 65535, 65536, 1099511627775,
    2147483647, -2147483648, 4294967295, 9223372036854775807, -9223372036854775808, 18446744073709551615,
    1e308, -1e308, 1e-308, -0.0, 0.5, 0.001, 90.0, -90.0, 1e39, 1e19, "", "\u0000", "f\u0000", "<f8", ">i8", "u1", "uint64",
    "_", "x", "ring", "time", "label", "-x y z", "z-forward", "..", "/", "a/../b", "\ud7ff", "\udbff\udfff", [], {}, [[]], {"": null},
    [0, 0], [1, 0], [1e300, 1e308], ["x", "y", "z", "intensity", "ring", "time", "label"], "ring-by-ring", "column-by-column"
  ])");
  if (before.is_number() && random() % 2) {
    const double number = before.get<double>();
    switch (random() % 6) {
      case 0: return -number;
      case 1: return number * 2;
      case 2: return number / 3;
      case 3: return number + 1;
      case 4: return number - 1;
      default: return number * 1e6;
    }
  }
  return kValues[random() % kValues.size()];
}

// Changes a few values, moves some elsewhere, and takes some away.
inline void damage(Json& document, std::mt19937_64& random) {
  for (size_t i = random() % 3 + 1; i-- > 0;) {
    std::vector<Json*> all;
    collect(document, all);
    Json& target = *all[random() % all.size()];
    switch (random() % 6) {
      case 0: target = Json(*all[random() % all.size()]); break;
      case 1:
        if (target.is_object() && !target.empty()) target.erase(std::next(target.begin(), random() % target.size()));
        break;
      case 2:
        if (target.is_array() && !target.empty()) target.erase(random() % target.size());
        break;
      case 3:
        if (target.is_array() && target.size() < 2000) {
          target.push_back(target.empty() ? hostile_value(nullptr, random) : Json(target[random() % target.size()]));
        }
        break;
      default: target = hostile_value(target, random);
    }
  }
}

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_TESTS_JSON_DAMAGE_H_

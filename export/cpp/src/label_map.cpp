#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "deployment.h"
#include "json.h"
#include "text.h"

namespace hwnas::runtime {
namespace {

constexpr size_t kRawIds = 1 << 16, kMostClasses = 254;

std::vector<uint32_t> raw_ids_of(const Json& values, std::map<uint32_t, std::string>& seen,
                                 const std::string& where) {
  if (!values.is_array()) {
    data_error("In the label map, `" + where + "` must be a list of whole numbers, found " + repr(values) + ".");
  }
  std::vector<uint32_t> ids;
  for (const Json& value : values) {
    if (!value.is_number_integer() || value < 0 || value >= kRawIds) {
      data_error("In the label map, `" + where + "` holds " + repr(value) +
                 "; expected whole numbers from 0 to 65535." +
                 (value.is_number_integer() && value == -1 ? " Files hold -1 as 65535." : ""));
    }
    ids.push_back(value.get<uint32_t>());
    const auto [place, is_new] = seen.emplace(ids.back(), where);
    if (!is_new) {
      data_error("In the label map, `" + where + "` holds " + std::to_string(ids.back()) + ", which stands in `" +
                 place->second + "` already; every raw id belongs to one class or is ignored.");
    }
  }
  return ids;
}

using Color = std::array<uint8_t, 3>;

Color color_of(const Json& value, const std::string& where) {
  if (value.is_string()) {
    const std::string text = value.get<std::string>();
    if (text.size() == 7 && text[0] == '#' && text.find_first_not_of("0123456789abcdefABCDEF", 1) == text.npos) {
      const auto number = static_cast<uint32_t>(std::stoul(text.substr(1), nullptr, 16));
      return {static_cast<uint8_t>(number >> 16), static_cast<uint8_t>(number >> 8), static_cast<uint8_t>(number)};
    }
  }
  const auto is_part = [](const Json& part) { return part.is_number_integer() && part >= 0 && part <= 255; };
  if (value.is_array() && value.size() == 3 && std::all_of(value.begin(), value.end(), is_part)) {
    return {value[0].get<uint8_t>(), value[1].get<uint8_t>(), value[2].get<uint8_t>()};
  }
  data_error("In the label map, `" + where + "` must be [red, green, blue] from 0 to 255 or '#rrggbb', found " +
             repr(value) + ".");
}

// A colour for a class without one; hues a golden angle apart are all different.
Color default_color(size_t number) {
  const double hue = std::fmod(static_cast<double>(number) * 0.61803398875, 1.0) * 6.0;
  const double saturation = 0.65, value = number % 2 ? 0.95 : 0.75;
  const double sector = std::floor(hue), within = hue - sector;
  const double low = value * (1.0 - saturation), falling = value * (1.0 - saturation * within);
  const double rising = value * (1.0 - saturation * (1.0 - within));
  const std::array<std::array<double, 3>, 6> sectors = {{{value, rising, low},
                                                         {falling, value, low},
                                                         {low, value, rising},
                                                         {low, falling, value},
                                                         {rising, low, value},
                                                         {value, low, falling}}};
  Color color{};
  for (size_t i = 0; i < 3; ++i) {
    color[i] = static_cast<uint8_t>(std::nearbyint(255.0 * sectors[static_cast<size_t>(sector) % 6][i]));
  }
  return color;
}

}  // namespace

LabelMap label_map_of(const Json& value) {
  LabelMap map;
  std::map<uint32_t, std::string> seen;
  const std::vector<uint32_t> ignored = raw_ids_of(member_of(value, "ignored_raw_ids"), seen, "ignored_raw_ids");
  const Json& classes = member_of(value, "classes");
  if (!classes.is_array()) data_error("In the label map, `classes` must be a list, found " + repr(classes) + ".");
  std::set<uint32_t> taken;
  std::vector<uint32_t> first;
  for (const Json& entry : classes) {
    const std::string where = "classes." + std::to_string(map.class_names.size()) + ".";
    const Json& name = member_of(entry, "name");
    if (!name.is_string() || name.get_ref<const std::string&>().empty()) {
      data_error("In the label map, `" + where + "name` must be text, found " + repr(name) + ".");
    }
    const std::vector<uint32_t> ids = raw_ids_of(member_of(entry, "raw_ids"), seen, where + "raw_ids");
    if (ids.empty()) {
      data_error("The label map " + repr(member_of(value, "name")) +
                 " has a class without raw_ids; give every class at least one.");
    }
    const Json* color = find(entry, "color");
    const size_t number = map.class_names.size();
    map.colors.push_back(color ? color_of(*color, where + "color") : default_color(number));
    map.class_names.push_back(name);
    first.push_back(ids[0]);
    taken.insert(ids.begin(), ids.end());
  }
  const size_t count = map.class_names.size();
  if (count < 1 || count > kMostClasses) {
    data_error("The label map " + repr(member_of(value, "name")) + " has " + std::to_string(count) +
               " classes; expected 1 to 254.");
  }
  if (std::set<std::string>(map.class_names.begin(), map.class_names.end()).size() < count) {
    data_error("The label map " + repr(member_of(value, "name")) + " names a class twice.");
  }
  // Of no class: 0, or an ignored raw id, or one that no class has.
  std::vector<uint32_t> candidates = {0};
  candidates.insert(candidates.end(), ignored.begin(), ignored.end());
  for (uint32_t id = 0; id < kRawIds; ++id) candidates.push_back(id);
  const auto is_free = [&](uint32_t id) { return !taken.count(id); };
  map.raw_ids.fill(*std::find_if(candidates.begin(), candidates.end(), is_free));
  std::copy(first.begin(), first.end(), map.raw_ids.begin());
  return map;
}

}  // namespace hwnas::runtime

#include "hwnas_ros/cloud_points.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>

#include "hwnas_runtime/words.hpp"
#include "refusing.hpp"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Numbers are read from messages as they lie in memory, which needs a little-endian processor."
#endif

namespace hwnas::ros {
namespace {

using runtime::did_you_mean;
using runtime::format;
using runtime::list_repr;
using runtime::repr;
using runtime::shown;
using std::to_string;

const std::vector<std::string> kIntensityNames = {"intensity", "reflectivity", "reflectance", "remission", "i"};
const std::vector<std::string> kRingNames = {"ring", "channel", "line"};
const std::vector<std::string> kTimeNames = {"t", "time", "timestamp", "time_stamp"};
const std::vector<std::string> kLabelNames = {"class_id", "label"};
constexpr std::array<std::pair<std::string_view, double>, 4> kTimeUnits = {
    {{"s", 1.0}, {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}}};
constexpr double kLeastAbsoluteS = 1e8, kLeastAbsoluteNs = 1e14;
constexpr double kMostRing = 2147483647.0;

std::optional<double> seconds_of(std::string_view unit) {
  for (const auto& known : kTimeUnits) {
    if (known.first == unit) return known.second;
  }
  return std::nullopt;
}

const PointField* find_field(const CloudView& cloud, std::string_view name) {
  const auto found = std::find_if(cloud.fields.begin(), cloud.fields.end(),
                                  [&](const PointField& field) { return field.name == name; });
  return found == cloud.fields.end() ? nullptr : &*found;
}

// A field with one number a point.
const PointField& single_field(const CloudView& cloud, const std::string& name) {
  const PointField* field = find_field(cloud, name);
  if (!field) {
    refuse("The cloud has no field " + shown(name) + "; it has " + list_repr(cloud.field_names()) +
           ". Name the field that holds it." + did_you_mean(name, cloud.field_names()));
  }
  if (field->count > 1) {
    refuse("The field " + shown(name) + " has " + to_string(field->count) + " numbers a point; expected one.");
  }
  return *field;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter; });
  return text;
}

// The field that is stated, or the first of the usual ones that is there; null if there is none.
const PointField* find_usual(const CloudView& cloud, const std::string& stated, const std::vector<std::string>& usual) {
  if (!stated.empty()) return &single_field(cloud, stated);
  for (const std::string& name : usual) {
    for (const PointField& field : cloud.fields) {
      if (lower(field.name) == name) return &single_field(cloud, field.name);
    }
  }
  return nullptr;
}

template <typename T>
T number_at(const uint8_t* bytes, bool is_bigendian) {
  T value;
  if (is_bigendian) {
    std::array<uint8_t, sizeof(T)> reversed;
    std::reverse_copy(bytes, bytes + sizeof(T), reversed.begin());
    std::memcpy(&value, reversed.data(), sizeof(T));
  } else {
    std::memcpy(&value, bytes, sizeof(T));
  }
  return value;
}

template <typename T, typename Use>
void visit_as(const CloudView& cloud, const PointField& field, Use use) {
  size_t number = 0;
  for (uint32_t row = 0; row < cloud.height; ++row) {
    const uint8_t* at = cloud.data + static_cast<size_t>(row) * cloud.row_step + field.offset;
    for (uint32_t column = 0; column < cloud.width; ++column, at += cloud.point_step) {
      use(number++, number_at<T>(at, cloud.is_bigendian));
    }
  }
}

// Calls a function with the place and the first number of a field of every point, row by row.
template <typename Use>
void visit(const CloudView& cloud, const PointField& field, Use use) {
  switch (field.datatype) {
    case kInt8: return visit_as<int8_t>(cloud, field, use);
    case kUint8: return visit_as<uint8_t>(cloud, field, use);
    case kInt16: return visit_as<int16_t>(cloud, field, use);
    case kUint16: return visit_as<uint16_t>(cloud, field, use);
    case kInt32: return visit_as<int32_t>(cloud, field, use);
    case kUint32: return visit_as<uint32_t>(cloud, field, use);
    case kFloat32: return visit_as<float>(cloud, field, use);
    default: return visit_as<double>(cloud, field, use);
  }
}

template <typename T>
void read_axes(const CloudView& cloud, const std::array<const PointField*, 3>& axes, std::vector<T>& points) {
  points.resize(3 * cloud.num_points());
  for (size_t axis = 0; axis < 3; ++axis) {
    visit(cloud, *axes[axis], [&](size_t i, auto value) { points[3 * i + axis] = static_cast<T>(value); });
  }
}

void read_positions(const CloudView& cloud, const CloudFields& fields, CloudPoints& found) {
  const std::array<std::string, 3> names = {fields.x, fields.y, fields.z};
  std::array<const PointField*, 3> axes{};
  for (size_t axis = 0; axis < 3; ++axis) axes[axis] = &single_field(cloud, names[axis]);
  if (names[0] == names[1] || names[0] == names[2] || names[1] == names[2]) {
    refuse("The coordinates are read from " + list_repr({names.begin(), names.end()}) +
           "; expected three different fields.");
  }
  found.is_wide = std::any_of(axes.begin(), axes.end(), [](const PointField* axis) {
    return axis->datatype == kFloat64 || axis->datatype == kInt32 || axis->datatype == kUint32;
  });
  found.wide.clear();
  if (!found.is_wide) return read_axes(cloud, axes, found.points);
  read_axes(cloud, axes, found.wide);
  found.points.resize(found.wide.size());
  std::transform(found.wide.begin(), found.wide.end(), found.points.begin(),
                 [](double value) { return static_cast<float>(value); });
}

bool is_finite(const CloudPoints& found, size_t i) {
  const auto all = [i](const auto& points) {
    return std::isfinite(points[3 * i]) && std::isfinite(points[3 * i + 1]) && std::isfinite(points[3 * i + 2]);
  };
  return found.is_wide ? all(found.wide) : all(found.points);
}

void read_intensity(const CloudView& cloud, const PointField& field, double scale, std::vector<float>& intensity) {
  intensity.resize(cloud.num_points());
  const auto factor = static_cast<float>(scale);
  const bool is_scaled = scale != 1.0;
  visit(cloud, field, [&](size_t i, auto value) {
    const auto number = static_cast<float>(value);
    intensity[i] = is_scaled ? number * factor : number;
  });
}

std::string in_words(double value) { return std::isnan(value) ? "nan" : format("%g", value); }

void read_ring(const CloudView& cloud, const PointField& field, CloudPoints& found) {
  found.ring.resize(cloud.num_points());
  visit(cloud, field, [&](size_t i, auto number) {
    const auto value = static_cast<double>(number);
    const bool fits = value == std::rint(value) && value >= 0.0 && value <= kMostRing;
    found.ring[i] = fits ? static_cast<int32_t>(value) : 0;
    // What stands beside points that are no measurements may be anything.
    if (fits || !is_finite(found, i)) return;
    refuse("The field " + shown(field.name) + " of point " + to_string(i) + " is " + in_words(value) +
           "; expected whole numbers from 0 to 2147483647. Name the field that holds the ring.");
  });
}

void read_time(const CloudView& cloud, const PointField& field, const std::string& stated, std::vector<double>& times) {
  times.resize(cloud.num_points());
  double largest = 0.0, least = std::numeric_limits<double>::infinity();
  visit(cloud, field, [&](size_t i, auto value) {
    times[i] = static_cast<double>(value);
    if (!std::isfinite(times[i])) return;
    largest = std::max(largest, std::fabs(times[i]));
    least = std::min(least, times[i]);
  });
  const bool is_whole = field.datatype < kFloat32, is_wide = field.datatype == kFloat64;
  const double second_parts =
      *seconds_of(!stated.empty() ? std::string_view(stated)
                                  : is_whole || (is_wide && largest >= kLeastAbsoluteNs) ? "ns" : "s");
  if (largest * second_parts < kLeastAbsoluteS) {
    for (double& time : times) time *= second_parts;
    return;
  }
  // The difference is taken in the unit of the field, where large numbers are exact.
  const int64_t stamp_ns = int64_t{cloud.stamp_s} * 1000000000 + cloud.stamp_ns;
  const double start = stamp_ns ? static_cast<double>(stamp_ns) * 1e-9 / second_parts : least;
  for (double& time : times) time = (time - start) * second_parts;
}

// Labels that a cloud states are not used, but what cannot be meant says that it is another cloud than it seems.
void check_labels(const CloudView& cloud) {
  const PointField* field = nullptr;
  for (const std::string& name : kLabelNames) {
    const PointField* one = find_field(cloud, name);
    if (!field && one && one->datatype < kFloat32) field = one;
  }
  if (!field) return;
  double least = 0.0;
  visit(cloud, *field, [&](size_t, auto value) { least = std::min(least, static_cast<double>(value)); });
  if (field->count <= 1 && least >= 0.0) return;
  constexpr const char* kNative[] = {"", "int8", "uint8", "int16", "uint16", "int32", "uint32"};
  constexpr const char* kBigEndian[] = {"", "int8", "uint8", ">i2", ">u2", ">i4", ">u4"};
  refuse("The field " + shown(field->name) + " is " +
         (cloud.is_bigendian ? kBigEndian[field->datatype] : kNative[field->datatype]) + " " +
         (field->count > 1 ? "(" + to_string(field->count) + ",)" : "") +
         "; expected whole numbers, none negative.");
}

}  // namespace

void CloudFields::check() const {
  if (!(std::isfinite(intensity_scale) && intensity_scale > 0.0)) {
    refuse("`intensity_scale` is " + repr(intensity_scale) + "; expected a positive number.");
  }
  if (!time_unit.empty() && !seconds_of(time_unit)) {
    refuse("`time_unit` is " + shown(time_unit) + "; expected one of ['s', 'ms', 'us', 'ns'].");
  }
}

void read_points(const CloudView& cloud, const CloudFields& fields, CloudPoints& found) {
  if (!cloud.num_points()) {
    refuse("The cloud holds no point: it is " + to_string(cloud.height) + " x " + to_string(cloud.width) + ".");
  }
  read_positions(cloud, fields, found);
  const PointField* intensity = find_usual(cloud, fields.intensity, kIntensityNames);
  const PointField* ring = find_usual(cloud, fields.ring, kRingNames);
  const PointField* time = find_usual(cloud, fields.time, kTimeNames);
  found.ring.clear();
  found.time_s.clear();
  if (intensity) read_intensity(cloud, *intensity, fields.intensity_scale, found.intensity);
  if (ring) read_ring(cloud, *ring, found);
  if (time) read_time(cloud, *time, fields.time_unit, found.time_s);
  if (!intensity) {
    refuse("The cloud has no field for the intensity (looked for " + list_repr(kIntensityNames) + "); it has " +
           list_repr(cloud.field_names()) + ". Name the field that holds it: `intensity` in format_options.");
  }
  check_labels(cloud);
}

}  // namespace hwnas::ros

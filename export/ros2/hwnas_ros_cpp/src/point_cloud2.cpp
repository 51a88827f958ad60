#include "hwnas_ros/point_cloud2.hpp"

#include <algorithm>

#include "hwnas_runtime/words.hpp"
#include "refusing.hpp"

namespace hwnas::ros {
namespace {

using runtime::shown;
using runtime::with_commas;
using std::to_string;

constexpr uint64_t kMostPointStep = uint64_t{1} << 20;
constexpr size_t kMostFields = 1024;
constexpr uint32_t kNsPerS = 1000000000;

void check_stamp(const CloudDescription& cloud) {
  if (cloud.stamp_ns < kNsPerS) return;
  refuse("The stamp of the header is " + to_string(cloud.stamp_s) + " s and " + to_string(cloud.stamp_ns) +
         " ns; expected 32 bits of seconds, and nanoseconds below a second.");
}

void check_sizes(const CloudView& cloud) {
  if (cloud.point_step < 1 || cloud.point_step > kMostPointStep) {
    refuse("`point_step` is " + to_string(cloud.point_step) + "; expected the bytes of a point, 1 to " +
           with_commas(kMostPointStep) + ".");
  }
  const uint64_t row = uint64_t{cloud.width} * cloud.point_step, all = uint64_t{cloud.row_step} * cloud.height;
  if (row > cloud.row_step) {
    refuse("`row_step` is " + to_string(cloud.row_step) + ", but a row of " + to_string(cloud.width) + " points of " +
           to_string(cloud.point_step) + " bytes has " + to_string(row) +
           ". The sender states a wrong width, point_step or row_step.");
  }
  if (cloud.size_bytes != all) {
    refuse("`data` has " + to_string(cloud.size_bytes) + " bytes, but " + to_string(cloud.height) + " rows of " +
           to_string(cloud.row_step) + " bytes have " + to_string(all) + ": " +
           (cloud.size_bytes < all ? "it was cut off" : "row_step or height is wrong") + ".");
  }
}

void check_field(const PointField& field, uint32_t point_step) {
  if (field.name.empty()) refuse("The field at byte " + to_string(field.offset) + " has no name.");
  if (field.datatype < kInt8 || field.datatype > kFloat64) {
    refuse("The field " + shown(field.name) + " has the datatype " + to_string(field.datatype) +
           "; expected 1 to 8 (INT8, UINT8, INT16, UINT16, INT32, UINT32, FLOAT32, FLOAT64).");
  }
  const uint64_t end = field.offset + field.size_bytes();
  if (end > point_step) {
    refuse("The field " + shown(field.name) + " ends at byte " + to_string(end) + ", but a point has " +
           to_string(point_step) + " (`point_step`).");
  }
}

void check_fields(const CloudDescription& cloud) {
  const std::vector<PointField>& fields = cloud.fields;
  if (fields.empty()) refuse("The cloud has no fields; expected x, y and z at least.");
  if (fields.size() > kMostFields) {
    // The fields behind are not looked at.
    refuse("The cloud has " + to_string(kMostFields + 1) + " fields; expected " + to_string(kMostFields) +
           " at most.");
  }
  for (const PointField& field : fields) check_field(field, cloud.point_step);
  for (const PointField& field : fields) {
    const auto same = [&](const PointField& other) { return other.name == field.name; };
    if (std::count_if(fields.begin(), fields.end(), same) > 1) {
      refuse("The cloud has two fields " + shown(field.name) + "; which one is meant, nobody can tell.");
    }
  }
  std::vector<const PointField*> sorted;
  for (const PointField& field : fields) sorted.push_back(&field);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const PointField* one, const PointField* other) { return one->offset < other->offset; });
  for (size_t i = 1; i < sorted.size(); ++i) {
    const PointField &one = *sorted[i - 1], &other = *sorted[i];
    const uint64_t end = one.offset + one.size_bytes();
    if (end > other.offset) {
      refuse("The fields " + shown(one.name) + " (bytes " + to_string(one.offset) + " to " + to_string(end - 1) +
             ") and " + shown(other.name) + " (from byte " + to_string(other.offset) + ") overlap.");
    }
  }
}

}  // namespace

void refuse(const std::string& message) { throw runtime::Error(runtime::ErrorKind::kData, message); }

uint64_t PointField::size_bytes() const {
  constexpr uint64_t kBytes[] = {0, 1, 1, 2, 2, 4, 4, 4, 8};
  return kBytes[datatype] * num_numbers();
}

std::vector<std::string> CloudDescription::field_names() const {
  std::vector<std::string> names;
  for (const PointField& field : fields) names.push_back(field.name);
  return names;
}

void check(const CloudView& cloud) {
  check_stamp(cloud);
  check_sizes(cloud);
  check_fields(cloud);
}

}  // namespace hwnas::ros

#include "hwnas_ros/cloud_making.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "refusing.hpp"

namespace hwnas::ros {
namespace {

constexpr size_t kPosition = 12;

// A little-endian message of x, y, z and what `more` says, with room for as many points as the input has.
MadeCloud begun(const CloudDescription& input, const std::vector<float>& points, std::vector<PointField> more,
                uint32_t point_step) {
  MadeCloud made;
  made.height = input.height;
  made.width = input.width;
  made.fields = {{"x", 0, kFloat32, 1}, {"y", 4, kFloat32, 1}, {"z", 8, kFloat32, 1}};
  made.fields.insert(made.fields.end(), more.begin(), more.end());
  made.point_step = point_step;
  const uint64_t row_step = uint64_t{input.width} * point_step;
  if (row_step > UINT32_MAX) {
    refuse("`row_step` is " + std::to_string(row_step) + "; expected a whole number of 32 bits, not negative.");
  }
  made.row_step = static_cast<uint32_t>(row_step);
  made.stamp_s = input.stamp_s;
  made.stamp_ns = input.stamp_ns;
  made.frame_id = input.frame_id;
  made.is_dense = std::all_of(points.begin(), points.end(), [](float value) { return std::isfinite(value); });
  made.data.resize(input.num_points() * point_step);
  return made;
}

template <typename T>
void put(uint8_t* place, const T& value) {
  std::memcpy(place, &value, sizeof(T));
}

}  // namespace

MadeCloud segmented_cloud(const CloudDescription& input, const std::vector<float>& points,
                          const std::vector<uint8_t>& class_id, const std::vector<float>& probability) {
  constexpr uint32_t kStep = 17;
  MadeCloud made =
      begun(input, points, {{"class_id", 12, kUint8, 1}, {"probability", 13, kFloat32, 1}}, kStep);
  uint8_t* at = made.data.data();
  for (size_t i = 0; i < class_id.size(); ++i, at += kStep) {
    std::memcpy(at, points.data() + 3 * i, kPosition);
    at[kPosition] = class_id[i];
    put(at + kPosition + 1, probability[i]);
  }
  return made;
}

MadeCloud coloured_cloud(const CloudDescription& input, const std::vector<float>& points,
                         const std::vector<uint8_t>& class_id, const std::vector<std::array<uint8_t, 3>>& palette) {
  constexpr uint32_t kStep = 16;
  // 0x00RRGGBB, whose bits are sent as a float32: what the Point Cloud Library began.
  std::array<uint32_t, 256> packed{};
  for (size_t k = 0; k < palette.size(); ++k) {
    packed[k] = uint32_t{palette[k][0]} << 16 | uint32_t{palette[k][1]} << 8 | palette[k][2];
  }
  MadeCloud made = begun(input, points, {{"rgb", 12, kFloat32, 1}}, kStep);
  uint8_t* at = made.data.data();
  for (size_t i = 0; i < class_id.size(); ++i, at += kStep) {
    std::memcpy(at, points.data() + 3 * i, kPosition);
    put(at + kPosition, packed[class_id[i]]);
  }
  return made;
}

MadeCloud filtered_cloud(const CloudView& input, const std::vector<uint8_t>& class_id,
                         const std::array<bool, 256>& is_removed) {
  MadeCloud made;
  static_cast<CloudDescription&>(made) = input;
  for (PointField& field : made.fields) field.count = static_cast<uint32_t>(field.num_numbers());
  const auto stays = [&](uint8_t label) { return !is_removed[label]; };
  const auto kept = static_cast<size_t>(std::count_if(class_id.begin(), class_id.end(), stays));
  const uint64_t bytes = uint64_t{kept} * input.point_step;
  if (bytes > UINT32_MAX) {
    refuse("`row_step` is " + std::to_string(bytes) + "; expected a whole number of 32 bits, not negative.");
  }
  made.height = 1;
  made.width = static_cast<uint32_t>(kept);
  made.row_step = static_cast<uint32_t>(bytes);
  made.data.resize(bytes);
  uint8_t* at = made.data.data();
  for (size_t i = 0; i < class_id.size(); ++i) {
    if (!stays(class_id[i])) continue;
    std::memcpy(at, input.point(i), input.point_step);
    at += input.point_step;
  }
  return made;
}

}  // namespace hwnas::ros

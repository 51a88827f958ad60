// `sensor_msgs/PointCloud2` without ROS, and what is wrong with one; see hwnas.robotics.point_cloud2.

#ifndef HWNAS_ROS_POINT_CLOUD2_HPP_
#define HWNAS_ROS_POINT_CLOUD2_HPP_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace hwnas::ros {

/// Number types of fields, as `sensor_msgs/PointField` numbers them.
enum Datatype : uint8_t { kInt8 = 1, kUint8, kInt16, kUint16, kInt32, kUint32, kFloat32, kFloat64 };

/// A field of every point.
struct PointField {
  std::string name;
  uint32_t offset = 0;   ///< of its first byte in the point
  uint8_t datatype = 0;  ///< see `Datatype`
  uint32_t count = 1;    ///< numbers in the field; 0, which some drivers write, means 1

  uint64_t num_numbers() const { return count ? count : 1; }
  /// Bytes that the field takes; the datatype must be known.
  uint64_t size_bytes() const;
};

/// What a message says beside its bytes.
struct CloudDescription {
  uint32_t height = 0;              ///< rows; 1 for a list of points
  uint32_t width = 0;               ///< points of a row
  std::vector<PointField> fields;   ///< in any order
  bool is_bigendian = false;        ///< whether the most significant byte comes first
  uint32_t point_step = 0;          ///< bytes from one point to the next
  uint32_t row_step = 0;            ///< bytes from one row to the next
  bool is_dense = true;             ///< whether the sender says that no coordinate is NaN or infinite
  int32_t stamp_s = 0;              ///< of the header
  uint32_t stamp_ns = 0;            ///< nanoseconds after `stamp_s`
  std::string frame_id;             ///< of the header

  size_t num_points() const { return static_cast<size_t>(height) * width; }
  std::vector<std::string> field_names() const;
};

/// A message that lies in memory of somebody else.
struct CloudView : CloudDescription {
  const uint8_t* data = nullptr;
  size_t size_bytes = 0;
  std::shared_ptr<const void> owner;  ///< keeps `data` where it is

  const uint8_t* point(size_t number) const {
    return data + number / width * row_step + number % width * point_step;
  }
};

/// A message that was made.
struct MadeCloud : CloudDescription {
  std::vector<uint8_t> data;
};

/// Refuses what is malformed, in the words of the Python package.
///
/// Throws hwnas::runtime::Error (kData) if stamp, sizes, offsets or types contradict each other.
void check(const CloudView& cloud);

}  // namespace hwnas::ros

#endif  // HWNAS_ROS_POINT_CLOUD2_HPP_

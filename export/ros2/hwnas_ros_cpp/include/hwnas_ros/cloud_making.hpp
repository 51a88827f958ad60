// Messages with labels, with colours, or with points removed; see hwnas.robotics.cloud_making.

#ifndef HWNAS_ROS_CLOUD_MAKING_HPP_
#define HWNAS_ROS_CLOUD_MAKING_HPP_

#include <array>
#include <cstdint>
#include <vector>

#include "point_cloud2.hpp"

namespace hwnas::ros {

/// x, y, z, `class_id` and `probability`, 17 bytes a point, with stamp, frame, rows and columns of the input.
///
/// points [N][3], class_id [N], probability [N].
MadeCloud segmented_cloud(const CloudDescription& input, const std::vector<float>& points,
                          const std::vector<uint8_t>& class_id, const std::vector<float>& probability);

/// x, y, z and `rgb`, as RViz and Foxglove show it, 16 bytes a point; points of no class are black.
///
/// palette: red, green and blue of each class.
MadeCloud coloured_cloud(const CloudDescription& input, const std::vector<float>& points,
                         const std::vector<uint8_t>& class_id, const std::vector<std::array<uint8_t, 3>>& palette);

/// The points of the input whose class is kept, byte for byte, with all fields; a list of points.
///
/// is_removed: of each class.
MadeCloud filtered_cloud(const CloudView& input, const std::vector<uint8_t>& class_id,
                         const std::array<bool, 256>& is_removed);

}  // namespace hwnas::ros

#endif  // HWNAS_ROS_CLOUD_MAKING_HPP_

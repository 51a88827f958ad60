// Points out of messages of any layout; see hwnas.robotics.cloud_points.

#ifndef HWNAS_ROS_CLOUD_POINTS_HPP_
#define HWNAS_ROS_CLOUD_POINTS_HPP_

#include <cstdint>
#include <string>
#include <vector>

#include "point_cloud2.hpp"

namespace hwnas::ros {

/// Which fields hold what; an empty name is for the usual ones.
struct CloudFields {
  std::string x = "x", y = "y", z = "z";
  std::string intensity, ring, time;
  double intensity_scale = 1.0;  ///< by which intensities are multiplied
  std::string time_unit;         ///< s, ms, us or ns; empty to tell it by the type

  /// Throws hwnas::runtime::Error (kData) if a scale or unit means nothing.
  void check() const;
};

/// The points of one message.
struct CloudPoints {
  bool is_wide = false;              ///< whether positions are in `wide`: float32 may round them
  std::vector<float> points;         ///< [N][3], as they were sent
  std::vector<double> wide;          ///< [N][3], the same if `is_wide`
  std::vector<float> intensity;      ///< [N], scaled
  std::vector<int32_t> ring;         ///< [N], or empty
  std::vector<double> time_s;        ///< [N], or empty
};

/// Returns what a well-formed message says of its points. Pass the same object again to reuse its memory.
///
/// Throws hwnas::runtime::Error (kData), in the words of the Python package, if there is no point, a field is missing
/// or holds several numbers, rings are no whole numbers, there is no intensity, or labels mean nothing.
void read_points(const CloudView& cloud, const CloudFields& fields, CloudPoints& points);

}  // namespace hwnas::ros

#endif  // HWNAS_ROS_CLOUD_POINTS_HPP_

#include "coordinates.h"

#include <algorithm>
#include <cstddef>

namespace hwnas::runtime {
namespace {

bool is_moved(const Coordinates& coordinates) {
  return coordinates.unit_m != 1.0 ||
         std::any_of(coordinates.origin_m.begin(), coordinates.origin_m.end(), [](double v) { return v != 0.0; });
}

}  // namespace

bool is_sensor_frame(const Coordinates& coordinates) {
  const Coordinates own;
  return !is_moved(coordinates) && coordinates.columns == own.columns && coordinates.signs == own.signs;
}

std::array<float, 3> in_sensor_frame(std::array<double, 3> point, bool is_wide, const Coordinates& coordinates) {
  const auto stored = [=](double value) { return is_wide ? value : static_cast<double>(static_cast<float>(value)); };
  const bool moves = is_moved(coordinates);
  // Drivers write a beam without return as 0 0 0, wherever the sensor stands.
  const bool is_somewhere = std::any_of(point.begin(), point.end(), [](double value) { return value != 0.0; });
  for (size_t axis = 0; axis < 3; ++axis) {
    point[axis] = stored(point[axis]);
    if (moves)
      point[axis] = is_somewhere ? stored(point[axis] * coordinates.unit_m - coordinates.origin_m[axis]) : 0.0;
  }
  std::array<float, 3> turned{};
  for (size_t axis = 0; axis < 3; ++axis) {
    turned[axis] =
        static_cast<float>(point[static_cast<size_t>(coordinates.columns[axis])] * coordinates.signs[axis]);
  }
  return turned;
}

}  // namespace hwnas::runtime

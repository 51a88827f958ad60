// Directions and distances of points, in operations that IEEE 754 defines to the last bit; see
// hwnas.range_view.angles. Compile with -ffp-contract=off.

#ifndef HWNAS_ANGLES_H_
#define HWNAS_ANGLES_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <limits>

#include "lanes.h"

namespace hwnas {

// Abramowitz & Stegun, Handbook of Mathematical Functions, 4.4.49: a polynomial of the arctangent that is good to 2e-8.
// Libraries differ in theirs.
constexpr float kArctangent[] = {0.0028662257f, -0.0161657367f, 0.0429096138f, -0.0752896400f, 0.1065626393f,
                                 -0.1420889944f, 0.1999355085f, -0.3333314528f, 1.0f};
constexpr float kPi = 3.14159265358979323846f, kHalfPi = 1.57079632679489661923f;

// Angle of a direction, -pi to pi.
inline float angle_of(float y, float x) {
  if (std::isnan(x) || std::isnan(y)) return std::numeric_limits<float>::quiet_NaN();
  const float width = std::fabs(x), height = std::fabs(y);
  const float larger = std::max(width, height), smaller = std::min(width, height);
  const float ratio = larger > 0.0f ? smaller / larger : 0.0f;
  const float square = ratio * ratio;
  float sum = kArctangent[0];
  for (size_t i = 1; i < std::size(kArctangent); ++i) sum = sum * square + kArctangent[i];
  float angle = sum * ratio;
  if (height > width) angle = kHalfPi - angle;
  if (x < 0.0f) angle = kPi - angle;
  return y < 0.0f ? -angle : angle;
}

// From the sensor.
inline float distance_of(const float* point) {
  float squares = point[0] * point[0];
  squares += point[1] * point[1];
  squares += point[2] * point[2];
  return std::sqrt(squares);
}

// From the vertical axis.
inline float ground_distance_of(const float* point) {
  const float x = point[0] * point[0], y = point[1] * point[1];
  return std::sqrt(x + y);
}

// Whether a point at this distance has a direction.
inline bool is_valid_range(float range) { return range > 0.0f && range <= std::numeric_limits<float>::max(); }

// The same of a point, whose distance nobody needs.
inline bool has_direction(const float* point) {
  float squares = point[0] * point[0];
  squares += point[1] * point[1];
  squares += point[2] * point[2];
  return is_valid_range(squares);
}

// The same of four points with a direction.
struct FourPoints {
  Floats x, y, z;

  explicit FourPoints(const float* points)
      : x{points[0], points[3], points[6], points[9]},
        y{points[1], points[4], points[7], points[10]},
        z{points[2], points[5], points[8], points[11]} {}
};

inline Floats angle_of(Floats y, Floats x) {
  const Floats width = size_of(x), height = size_of(y), larger = higher_of(width, height);
  const Floats ratio = where(larger > 0.0f, lower_of(width, height) / larger);
  const Floats square = ratio * ratio;
  Floats sum = all_of(kArctangent[0]);
  for (size_t i = 1; i < std::size(kArctangent); ++i) sum = sum * square + kArctangent[i];
  Floats angle = sum * ratio;
  angle = chosen(height > width, kHalfPi - angle, angle);
  angle = chosen(x < 0.0f, kPi - angle, angle);
  return chosen(y < 0.0f, -angle, angle);
}

inline Floats distance_of(const FourPoints& points) {
  Floats squares = points.x * points.x;
  squares += points.y * points.y;
  squares += points.z * points.z;
  return root_of(squares);
}

inline Floats ground_distance_of(const FourPoints& points) {
  return root_of(points.x * points.x + points.y * points.y);
}

inline Words is_valid_range(Floats range) { return (range > 0.0f) & (range <= std::numeric_limits<float>::max()); }

}  // namespace hwnas

#endif  // HWNAS_ANGLES_H_

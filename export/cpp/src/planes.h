// Planes z = a x + b y + c through points, for the two ways in which the ground is looked for.

#ifndef HWNAS_RUNTIME_SRC_PLANES_H_
#define HWNAS_RUNTIME_SRC_PLANES_H_

#include <array>
#include <cmath>
#include <cstddef>

#include "../scratch.h"
#include "random.h"

namespace hwnas::runtime {

using Point = std::array<double, 3>;

struct Plane {
  double a = 0.0, b = 0.0, c = 0.0;

  double height_of(const Point& point) const { return point[2] - (a * point[0] + b * point[1]) - c; }
};

// The normal of a triangle; not of unit length.
inline Point normal_of(const Point& corner, const Point& second, const Point& third) {
  const Point u = {second[0] - corner[0], second[1] - corner[1], second[2] - corner[2]};
  const Point v = {third[0] - corner[0], third[1] - corner[1], third[2] - corner[2]};
  return {u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]};
}

inline Plane plane_through(const Point& corner, const Point& normal) {
  const double a = -normal[0] / normal[2], b = -normal[1] / normal[2];
  return {a, b, corner[2] - (a * corner[0] + b * corner[1])};
}

// Adds the planes through `count` random triangles whose normal passes a test.
template <typename IsLevel>
void add_planes(const Vector<Point>& points, Random& random, size_t count, IsLevel is_level, Vector<Plane>& planes) {
  const auto size = static_cast<uint32_t>(points.size());
  for (size_t i = 0; i < count; ++i) {
    std::array<size_t, 3> corner{};
    for (size_t& place : corner) place = random.below(size);
    const Point normal = normal_of(points[corner[0]], points[corner[1]], points[corner[2]]);
    if (is_level(normal)) planes.push_back(plane_through(points[corner[0]], normal));
  }
}

// The lower third of some points, by their height, in their order.
inline Vector<Point> lower_third(const Vector<Point>& points) {
  Vector<double> heights;
  for (const Point& point : points) heights.push_back(point[2]);
  const auto third = heights.begin() + static_cast<std::ptrdiff_t>(heights.size() / 3);
  std::nth_element(heights.begin(), third, heights.end());
  Vector<Point> lowest;
  for (const Point& point : points) {
    if (point[2] <= *third) lowest.push_back(point);
  }
  return lowest;
}

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_PLANES_H_

#include "expected_ground.h"

#include <algorithm>
#include <cmath>

#include "numbers.h"
#include "planes.h"

namespace hwnas::runtime {
namespace {

constexpr double kPi = 3.14159265358979323846;
// Of the height of the sensor: how much lower and higher the ground may lie, how far away it is looked for.
constexpr double kLower = 0.8, kHigher = 1.25, kNearest = 0.8, kReach = 12.0;
constexpr double kTolerance = 0.06, kRoughness = 0.01;
constexpr size_t kSamplesOfGround = 1024, kHypotheses = 120, kLevelPlanes = 9, kFewestPoints = 40;
constexpr double kPreference = 0.7, kLeastSupport = 0.05, kMostBeneath = 0.25;
constexpr size_t kFewestOctants = 2, kFewestInOctant = 5;

double steepest() { return std::tan(8.5 * (kPi / 180.0)); }

void add_level_planes(const Vector<Point>& points, Vector<Plane>& planes) {
  if (points.size() < kFewestPoints) return;
  const double limit = steepest();
  Random random(points.size());
  add_planes(points, random, kHypotheses,
             [=](const Point& normal) { return std::hypot(normal[0], normal[1]) < limit * std::fabs(normal[2]); },
             planes);
}

// Nearly level planes, most of them where the ground is expected.
Vector<Plane> hypotheses(const Vector<Point>& near, double low, double high) {
  Vector<Point> expected;
  for (const Point& point : near) {
    const double reach = steepest() * std::hypot(point[0], point[1]);
    if (point[2] > -high - reach && point[2] < -low + reach) expected.push_back(point);
  }
  Vector<Plane> planes;
  add_level_planes(expected, planes);
  add_level_planes(lower_third(near), planes);
  const Vector<double> heights = linspace(low, high, kLevelPlanes + 2);
  for (size_t i = 1; i <= kLevelPlanes; ++i) planes.push_back({0.0, 0.0, -heights[i]});
  return planes;
}

struct Support {
  size_t on = 0, beneath = 0;
};

Support support_of(const Plane& plane, const Vector<Point>& near, const Vector<double>& tolerance) {
  Support support;
  for (size_t i = 0; i < near.size(); ++i) {
    const double above = near[i][2] - (plane.a * near[i][0] + plane.b * near[i][1]) - plane.c;
    support.on += std::fabs(above) < tolerance[i];
    support.beneath += above < -2 * tolerance[i];
  }
  return support;
}

// In how many eighths of a turn points lie.
size_t octants(const Vector<Point>& points) {
  std::array<size_t, 8> members{};
  for (const Point& point : points) {
    ++members[static_cast<size_t>((std::atan2(point[1], point[0]) / (2 * kPi) + 0.5) * 8.0) % 8];
  }
  return static_cast<size_t>(
      std::count_if(members.begin(), members.end(), [](size_t count) { return count >= kFewestInOctant; }));
}

Vector<Point> points_around(const Cloud& cloud, const Pair& height_m) {
  const auto nearest = static_cast<float>(kNearest * height_m.first);
  const auto farthest = static_cast<float>(kReach * height_m.second);
  Vector<size_t> around;
  for (size_t i = 0; i < cloud.count; ++i) {
    const float distance = std::hypot(cloud[i][0], cloud[i][1]);
    if (distance > nearest && distance < farthest) around.push_back(i);
  }
  Vector<Point> near;
  for (int64_t i : sample(around.size(), kSamplesOfGround)) {
    const float* point = cloud[around[static_cast<size_t>(i)]];
    near.push_back({point[0], point[1], point[2]});
  }
  return near;
}

}  // namespace

std::optional<double> support_of_ground(const Cloud& cloud, const Pair& height_m, double least_turn) {
  const double low = kLower * height_m.first, high = kHigher * height_m.second;
  const Vector<Point> near = points_around(cloud, height_m);
  if (near.size() < kFewestPoints) return std::nullopt;
  Vector<double> tolerance;
  for (const Point& point : near) {
    tolerance.push_back(kTolerance * height_m.second + kRoughness * std::hypot(point[0], point[1]));
  }
  Plane best;
  Support of_best;
  double highest = -1e300;
  for (const Plane& plane : hypotheses(near, low, high)) {
    const Support support = support_of(plane, near, tolerance);
    double score = static_cast<double>(support.on) - static_cast<double>(support.beneath);
    // A plane at another height is taken for the ground only if clearly more points speak for it.
    if (plane.c < -low && plane.c > -high) score /= kPreference;
    if (score > highest) {
      highest = score;
      best = plane;
      of_best = support;
    }
  }
  if (!(low < -best.c && -best.c < high)) return std::nullopt;  // the ground lies elsewhere
  const auto all = static_cast<double>(near.size()), on = static_cast<double>(of_best.on);
  if (on < std::max(static_cast<double>(kFewestPoints), kLeastSupport * all) ||
      static_cast<double>(of_best.beneath) > kMostBeneath * on) {
    return std::nullopt;
  }
  Vector<Point> ground;
  for (size_t i = 0; i < near.size(); ++i) {
    if (std::fabs(best.height_of(near[i])) < tolerance[i]) ground.push_back(near[i]);
  }
  const auto fewest = std::max(static_cast<double>(kFewestOctants), least_turn * static_cast<double>(octants(near)));
  if (static_cast<double>(octants(ground)) < fewest) return std::nullopt;
  return on / all;
}

}  // namespace hwnas::runtime

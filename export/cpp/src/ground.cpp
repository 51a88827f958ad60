#include <algorithm>
#include <cmath>
#include <limits>

#include "../angles.h"
#include "../lanes.h"
#include "cloud_geometry.h"
#include "numbers.h"
#include "planes.h"

namespace hwnas::runtime {
namespace {

constexpr size_t kGroundSamples = 1024, kHypotheses = 150, kFewestPoints = 30;
constexpr double kPi = 3.14159265358979323846;
constexpr double kSteepestDeg = 50.0, kNearShare = 0.6, kLeastSupport = 0.12, kBeyondWeight = 0.5;

double tolerance_of(const Plane& plane) {
  // Roads are rougher than sensors are imprecise: some per cent of the sensor's height above them.
  return std::clamp(0.06 * std::fabs(plane.c), 0.004, 0.02);
}

Vector<Plane> hypotheses(const Vector<Point>& near) {
  const double steepest = std::cos(kSteepestDeg * kPi / 180.0);
  const auto is_flat = [=](const Point& normal) {
    const double length = std::sqrt(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2]);
    return std::fabs(normal[2]) > steepest * length && length > 1e-4;
  };
  Random random(near.size());
  Vector<Plane> planes;
  // Most from the lower third, where the ground nearly always is; a few for clouds that are upside down.
  add_planes(lower_third(near), random, kHypotheses * 2 / 3, is_flat, planes);
  add_planes(near, random, kHypotheses / 3, is_flat, planes);
  return planes;
}

// Points next to each other, axis by axis, and room for how near each is to a plane. Those that make up the last four
// are not numbers, and on no side of any plane.
class Scores {
 public:
  explicit Scores(const Vector<Point>& near) : count_(near.size()), on_(near.size() + kLanes, 0.0f) {
    for (size_t axis = 0; axis < 3; ++axis) {
      axes_[axis].assign(near.size() + kLanes, std::numeric_limits<float>::quiet_NaN());
      for (size_t i = 0; i < near.size(); ++i) axes_[axis][i] = static_cast<float>(near[i][axis]);
    }
  }

  double of(const Plane& plane) {
    const double tolerance = tolerance_of(plane);
    const float factors[] = {static_cast<float>(-plane.a / tolerance), static_cast<float>(-plane.b / tolerance),
                             static_cast<float>(1.0 / tolerance), static_cast<float>(-plane.c / tolerance)};
    Words over{}, under{};
    for (size_t i = 0; i < count_; i += kLanes) {
      const Floats x = load(axes_[0].data() + i), y = load(axes_[1].data() + i), z = load(axes_[2].data() + i);
      const Floats above = factors[0] * x + factors[1] * y + factors[2] * z + factors[3];
      over -= above > 2.0f;
      under -= above < -2.0f;
      store(on_.data() + i, higher_of(Floats{}, 1.0f - above * above));
    }
    // The ground bounds what is seen: nearly all that is not on it lies on one side.
    const int32_t fewer = std::min(over[0] + over[1] + over[2] + over[3], under[0] + under[1] + under[2] + under[3]);
    const double score =
        static_cast<double>(pairwise_sum(on_.data(), count_)) - kBeyondWeight * static_cast<double>(fewer);
    return score / (1.0 + std::hypot(plane.a, plane.b));  // of equally good ones, the more level
  }

 private:
  const size_t count_;
  Vector<float> axes_[3], on_;
};

Vector<Point> points_on(const Plane& plane, const Vector<Point>& near) {
  const double tolerance = tolerance_of(plane);
  Vector<Point> on;
  for (const Point& point : near) {
    if (std::fabs(plane.height_of(point)) < tolerance) on.push_back(point);
  }
  return on;
}

// The plane with the least squares of heights, by Gram-Schmidt; false where points do not span one.
bool fitted(const Vector<Point>& points, Plane& plane) {
  if (points.size() < kFewestPoints / 3) return false;
  const auto count = static_cast<double>(points.size());
  Point mean{};
  for (const Point& point : points) {
    for (size_t axis = 0; axis < 3; ++axis) mean[axis] += point[axis] / count;
  }
  double xx = 0.0, xy = 0.0, xz = 0.0;
  for (const Point& point : points) {
    const double x = point[0] - mean[0];
    xx += x * x;
    xy += x * (point[1] - mean[1]);
    xz += x * (point[2] - mean[2]);
  }
  if (!(xx > 1e-24 * count)) return false;
  // What of y and z x does not explain.
  double yy = 0.0, yz = 0.0, whole = 0.0;
  for (const Point& point : points) {
    const double x = point[0] - mean[0], y = point[1] - mean[1] - xy / xx * x;
    yy += y * y;
    yz += y * (point[2] - mean[2] - xz / xx * x);
    whole += (point[1] - mean[1]) * (point[1] - mean[1]);
  }
  if (!(yy > 1e-24 * (whole + count))) return false;
  plane.b = yz / yy;
  plane.a = (xz - plane.b * xy) / xx;
  plane.c = mean[2] - plane.a * mean[0] - plane.b * mean[1];
  return true;
}

}  // namespace

double Ground::tilt_deg() const {
  const double roll = std::tan(roll_deg * (kPi / 180.0)), pitch = std::tan(pitch_deg * (kPi / 180.0));
  return std::atan(std::hypot(roll, pitch)) * (180.0 / kPi);
}

std::optional<Ground> ground_of(const Cloud& cloud) {
  if (cloud.count < kFewestPoints) return std::nullopt;
  Vector<float> range(cloud.count);
  for (size_t i = 0; i < cloud.count; ++i) range[i] = distance_of(cloud[i]);
  Vector<float> ordered(range);
  const auto place = ordered.begin() + static_cast<std::ptrdiff_t>(kNearShare * static_cast<double>(range.size() - 1));
  std::nth_element(ordered.begin(), place, ordered.end());
  const float bound = *place;
  if (!std::isfinite(bound) || bound <= 0.0f) return std::nullopt;
  Vector<size_t> close;
  for (size_t i = 0; i < range.size(); ++i) {
    if (range[i] <= bound) close.push_back(i);
  }
  const auto scale = static_cast<double>(bound);
  Vector<Point> near;  // about 1 away, whatever the unit
  for (int64_t i : sample(close.size(), kGroundSamples)) {
    const float* point = cloud[close[static_cast<size_t>(i)]];
    near.push_back({point[0] / scale, point[1] / scale, point[2] / scale});
  }
  const Vector<Plane> planes = hypotheses(near);
  if (planes.empty()) return std::nullopt;
  Scores scores(near);
  Plane best;
  double highest = -1e300;
  for (const Plane& plane : planes) {
    const double score = scores.of(plane);
    if (score > highest) {
      highest = score;
      best = plane;
    }
  }
  for (int round = 0; round < 3 && fitted(points_on(best, near), best); ++round) {
  }
  const double support = static_cast<double>(points_on(best, near).size()) / static_cast<double>(near.size());
  if (support < kLeastSupport) return std::nullopt;
  // The plane falls ahead (a < 0) where the front of the sensor is up, and likewise to the left.
  return Ground{-best.c * scale / std::sqrt(1.0 + best.a * best.a + best.b * best.b),
                std::atan(-best.b) * (180.0 / kPi), std::atan(-best.a) * (180.0 / kPi), support};
}

}  // namespace hwnas::runtime

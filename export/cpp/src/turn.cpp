#include <algorithm>
#include <cmath>

#include "../angles.h"
#include "cloud_geometry.h"
#include "numbers.h"

namespace hwnas::runtime {
namespace {

constexpr float kDegrees = 57.29577951308232f;
constexpr double kClearTurn = 0.5, kRingByRingSurplus = 0.7, kSameRingShare = 0.5, kLongestStep = 2.0;
constexpr size_t kRingsForTurn = 6, kTurnSamples = 2048, kFewestSteps = 16;
// Of a turn: 4 degrees, and 15, the largest azimuth that beams of one firing are known to lie apart.
constexpr size_t kColumnLags[] = {90, 24};

// Points in the order of their file, or of their times, which are finite.
class Ordered {
 public:
  Ordered(const Cloud& cloud, const int32_t* ring, const double* time) : cloud_(cloud), ring_(ring) {
    if (!time || std::is_sorted(time, time + cloud.count)) return;
    order_.resize(cloud.count);
    for (size_t i = 0; i < order_.size(); ++i) order_[i] = {key_of(time[i]), i};
    sort_by_digits(order_, [](const Place& place) { return place.time; });
  }
  size_t size() const { return cloud_.count; }
  float azimuth(size_t i) const {
    const float* point = cloud_[place(i)];
    return angle_of(point[1], point[0]) * kDegrees;
  }
  int32_t ring(size_t i) const { return ring_[place(i)]; }
  bool has_rings() const { return ring_ != nullptr; }

 private:
  struct Place {
    uint64_t time;
    size_t index;
  };

  size_t place(size_t i) const { return order_.empty() ? i : order_[i].index; }

  const Cloud& cloud_;
  const int32_t* const ring_;
  Room<Place> order_;
};

float wrapped(float step) {
  float turned = std::fmod(step + 180.0f, 360.0f);
  if (turned < 0.0f) turned += 360.0f;
  return turned - 180.0f;
}

std::optional<Turn> turn_of_steps(const Vector<float>& steps, bool is_by_column, double least_surplus = kClearTurn) {
  if (steps.size() < kFewestSteps) return std::nullopt;
  float sum = 0.0f;  // of whole numbers
  for (float step : steps) sum += static_cast<float>((step > 0.0f) - (step < 0.0f));
  const double surplus = static_cast<double>(sum / static_cast<float>(steps.size()));
  if (!(std::fabs(surplus) >= least_surplus)) return std::nullopt;
  return Turn{surplus > 0, is_by_column};
}

Vector<float> steps_from(const Ordered& points, const Vector<int64_t>& here, size_t lag) {
  Vector<float> steps;
  for (int64_t i : here) {
    const auto at = static_cast<size_t>(i);
    if (at + lag < points.size()) steps.push_back(wrapped(points.azimuth(at + lag) - points.azimuth(at)));
  }
  return steps;
}

// Steps of azimuth, in degrees, along some rings.
Vector<float> steps_along_rings(const Ordered& points) {
  Vector<int32_t> present;
  for (int64_t i : sample(points.size(), kTurnSamples)) {
    if (points.ring(static_cast<size_t>(i)) >= 0) present.push_back(points.ring(static_cast<size_t>(i)));
  }
  std::sort(present.begin(), present.end());
  present.erase(std::unique(present.begin(), present.end()), present.end());
  Vector<float> steps;
  if (present.empty()) return steps;
  Vector<size_t> chosen;
  for (double place : linspace(0.0, static_cast<double>(present.size() - 1), kRingsForTurn)) {
    const auto at = static_cast<size_t>(place);
    if (chosen.empty() || chosen.back() != at) chosen.push_back(at);
  }
  for (size_t k : chosen) {
    bool has_before = false;
    float before = 0.0f;
    for (size_t i = 0; i < points.size(); ++i) {
      if (points.ring(i) != present[k]) continue;
      const float azimuth = points.azimuth(i);
      if (has_before) steps.push_back(wrapped(azimuth - before));
      before = azimuth;
      has_before = true;
    }
  }
  return steps;
}

}  // namespace

std::optional<Turn> turn_of(const Cloud& cloud, const int32_t* ring, const double* time) {
  if (cloud.count <= kFewestSteps) return std::nullopt;
  const Ordered points(cloud, ring, time);
  Vector<int64_t> here = sample(cloud.count - 1, kTurnSamples);
  if (points.has_rings()) {
    Vector<int64_t> same;
    for (int64_t i : here) {
      const auto at = static_cast<size_t>(i);
      if (points.ring(at) == points.ring(at + 1)) same.push_back(i);
    }
    if (static_cast<double>(same.size()) < kSameRingShare * static_cast<double>(here.size())) {
      return turn_of_steps(steps_along_rings(points), true);
    }
    here.swap(same);
  }
  const std::optional<Turn> single = turn_of_steps(steps_from(points, here, 1), false, kRingByRingSurplus);
  if (single || points.has_rings()) return single;
  // Points of one column differ little in azimuth, and either way; a few degrees on, the turn shows.
  for (size_t part : kColumnLags) {
    Vector<float> steps = steps_from(points, here, std::max<size_t>(1, cloud.count / part));
    const std::optional<Turn> found = turn_of_steps(steps, true);
    if (found && std::fabs(static_cast<double>(median(steps))) <= kLongestStep * 360.0 / static_cast<double>(part)) {
      return found;
    }
  }
  return std::nullopt;
}

}  // namespace hwnas::runtime

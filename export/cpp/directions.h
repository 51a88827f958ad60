// Directions of points as whole numbers, which rings and rows are found from. Part of range_view.cpp; include
// range_view.h instead.

#ifndef HWNAS_DIRECTIONS_H_
#define HWNAS_DIRECTIONS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "angles.h"
#include "beam_groups.h"
#include "lanes.h"

namespace hwnas {

// Calls block(points, first, number) for each four points, of which the last may be fewer: points at the origin take
// the place of those that lack.
template <typename Block>
void for_each_four(const float* points, int64_t count, Block block) {
  int64_t i = 0;
  for (; i + static_cast<int64_t>(kLanes) <= count; i += kLanes) block(FourPoints(points + 3 * i), i, kLanes);
  if (i == count) return;
  float last[3 * kLanes] = {};
  std::copy(points + 3 * i, points + 3 * count, last);
  block(FourPoints(last), i, static_cast<size_t>(count - i));
}

// Elevation, azimuth and distance of the points that have a direction; `index` says which of all they are.
struct Directions {
  PointInts index, sine, azimuth;
  Room<float> range_m;
  int64_t quadrants[4] = {0, 0, 0, 0};  // how many lie ahead or behind, to the left or right

  // Of none so far, with room for some; with or without azimuths.
  Directions(int64_t most, bool has_azimuth) {
    const size_t room = static_cast<size_t>(most) + kLanes;
    index.resize(room);
    sine.resize(room);
    azimuth.resize(has_azimuth ? room : 0);
    range_m.resize(room);
  }

  // Of all points.
  Directions(const float* points, int64_t count, bool has_azimuth = false) : Directions(count, has_azimuth) {
    for_each_four(points, count, [&](const FourPoints& four, int64_t first, size_t) {
      add(four, distance_of(four), has_azimuth ? angle_of(four.y, four.x) : Floats{}, first);
    });
    finish();
  }

  // Of four more, the first of which is number `first`.
  void add(const FourPoints& four, Floats range, Floats angle, int64_t first) {
    const Words usable = is_valid_range(range);
    // Elevations are those of usable points only: no other number must become an integer.
    const Words steps = whole(where(usable, four.z / range * static_cast<float>(kSineSteps)));
    // Beyond 1 where squares are too small for their last digits.
    const Words not_above = chosen(steps < kSineSteps, steps, all_of(kSineSteps - 1));
    const Words from_below = chosen(not_above < -kSineSteps, all_of(-kSineSteps), not_above) + kSineSteps;
    const Words turned = whole(where(usable, angle * 667544.1875f)), ahead = four.x >= 0.0f, left = four.y >= 0.0f;
    ahead_ -= usable & ahead;
    left_ -= usable & left;
    both_ -= usable & ahead & left;
    const int32_t at = static_cast<int32_t>(first);
    if (is_each(usable)) {
      store(index.data() + kept_, Words{at, at + 1, at + 2, at + 3});
      store(sine.data() + kept_, from_below);
      if (!azimuth.empty()) store(azimuth.data() + kept_, turned);
      store(range_m.data() + kept_, range);
      kept_ += kLanes;
      return;
    }
    for (size_t lane = 0; lane < kLanes; ++lane) {
      if (!usable[lane]) continue;
      index[kept_] = at + static_cast<int32_t>(lane);
      sine[kept_] = from_below[lane];
      if (!azimuth.empty()) azimuth[kept_] = turned[lane];
      range_m[kept_++] = range[lane];
    }
  }

  // After the last one was added.
  void finish() {
    index.resize(kept_);
    sine.resize(kept_);
    if (!azimuth.empty()) azimuth.resize(kept_);
    range_m.resize(kept_);
    const int64_t ahead = sum_of(ahead_), left = sum_of(left_), both = sum_of(both_);
    quadrants[3] = both;
    quadrants[2] = ahead - both;
    quadrants[1] = left - both;
    quadrants[0] = static_cast<int64_t>(kept_) - ahead - left + both;
  }

 private:
  static int64_t sum_of(Words values) {
    return static_cast<int64_t>(values[0]) + values[1] + values[2] + values[3];
  }

  size_t kept_ = 0;
  Words ahead_{}, left_{}, both_{};
};

}  // namespace hwnas

#endif  // HWNAS_DIRECTIONS_H_

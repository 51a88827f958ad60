// Elevation and nearness of each given ring in each cell of azimuth. See hwnas.range_view.ring_cells. Part of
// range_view.cpp; include range_view.h instead.

#ifndef HWNAS_RING_CELLS_H_
#define HWNAS_RING_CELLS_H_

#include <algorithm>
#include <cstdint>

#include "beam_groups.h"
#include "directions.h"

namespace hwnas {

// Cells to a turn.
constexpr int32_t kCells = 256;

// Sums over the points of each ring in each cell, and their number.
class RingCells {
 public:
  // Of rings as given, of which the highest is that of all points, also of those without a direction.
  RingCells(const Directions& from, IntSpan ring, int32_t highest)
      : rings(static_cast<size_t>(highest) + 1),
        members(rings * kCells, 0),
        sines(members.size(), 0),
        nearness(members.size(), 0) {
    if (from.sine.empty()) return;
    const float middle_m = middle_range(from.range_m);
    for (size_t i = 0; i < from.sine.size(); ++i) {
      const size_t place = static_cast<size_t>(ring[from.index[i]]) * kCells + cell_of(from, i);
      ++members[place];
      sines[place] += from.sine[i];
      nearness[place] += static_cast<int32_t>(
          std::min(middle_m / from.range_m[i] * static_cast<float>(kNearSteps), static_cast<float>(kNearest)));
    }
  }

  static size_t cell_of(const Directions& from, size_t point) {
    return static_cast<size_t>(((from.azimuth[point] + kTurn / 2) & (kTurn - 1)) / (kTurn / kCells));
  }

  // Of one ring after the other: points, the sum of their sines of elevation, and that of middle range / range.
  const size_t rings;
  Ints members;
  Longs sines, nearness;

 private:
  // Steps of nearness to the middle range, and the most that counts.
  static constexpr int32_t kNearSteps = 256, kNearest = 4096;
};

}  // namespace hwnas

#endif  // HWNAS_RING_CELLS_H_

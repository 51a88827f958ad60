// Rows of a range image: from rings, given or recovered, or from the nearest beam of a table. See
// hwnas.data.rows. Part of range_view.cpp; include range_view.h instead.

#ifndef HWNAS_ROWS_H_
#define HWNAS_ROWS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "rings.h"

namespace hwnas {

enum class RowMethod { kRing, kBeams, kNone, kWrongRing };

// Elevation and distance of the points that have a direction; `index` says which of all they are.
struct Directions {
  Ints index, sine;
  std::vector<float> range_m;

  Directions(const float* points, int64_t count) {
    index.resize(count);
    sine.resize(count);
    range_m.resize(count);
    size_t kept = 0;
    for (int64_t i = 0; i < count; ++i) {
      const float* point = points + 3 * i;
      float squares = point[0] * point[0];
      squares += point[1] * point[1];
      squares += point[2] * point[2];
      const float range = std::sqrt(squares);
      if (!std::isfinite(range) || !(range > 0.0f)) continue;
      const int32_t steps = whole(point[2] / range * static_cast<float>(kSineSteps));
      index[kept] = static_cast<int32_t>(i);
      sine[kept] = std::min(std::max(steps, -kSineSteps), kSineSteps - 1) + kSineSteps;
      range_m[kept++] = range;
    }
    index.resize(kept);
    sine.resize(kept);
    range_m.resize(kept);
  }
};

// Rings of points with a direction, 0 = the top one that has points; false where nothing tells them.
inline bool recover_rings(const Directions& from, const std::vector<float>& angles, Ints& ring) {
  const size_t count = from.sine.size();
  if (count < kFewestPoints) return false;
  if (grouped_rings(from.sine, nullptr, ring)) return true;
  Ints azimuth(count);
  for (size_t i = 0; i < count; ++i) {
    azimuth[i] = whole(angles[from.index[i]] * 667544.1875f);
  }
  if (RingOrder(azimuth, from.sine).find(ring)) return true;
  if (grouped_rings(from.sine, &from.range_m, ring)) return true;
  const float near = 0.25f * middle_range(from.range_m);
  Ints far, far_azimuth, far_sine, found;
  for (size_t i = 0; i < count; ++i) {
    if (!(from.range_m[i] >= near)) continue;
    far.push_back(static_cast<int32_t>(i));
    far_azimuth.push_back(azimuth[i]);
    far_sine.push_back(from.sine[i]);
  }
  if (far.size() == count || far.size() < kFewestPoints) return false;
  if (!RingOrder(far_azimuth, far_sine).find(found)) return false;
  ring.resize(count);
  size_t next = 0;
  for (size_t i = 0; i < count; ++i) {
    while (next + 1 < far.size() && far[next + 1] <= static_cast<int32_t>(i)) ++next;
    ring[i] = found[next];
  }
  return true;
}

class RowFinder {
 public:
  RowFinder(const Directions& from, int32_t height, const int32_t* beams, int32_t num_beams)
      : from_(from), beams_(beams, beams + (beams ? num_beams : 0)), rows_(beams ? num_beams : height) {}

  // Rows of rings as a driver numbers them.
  RowMethod of_given(const int32_t* ring, int64_t count, Ints& row, int32_t& remark) const {
    row.assign(ring, ring + count);
    if (!count) return RowMethod::kRing;
    if (!number(row)) return RowMethod::kWrongRing;
    if (from_.sine.empty()) return RowMethod::kRing;
    const int32_t highest = *std::max_element(row.begin(), row.end());
    const Longs means = means_of_far(row, highest + 1);
    Longs present;
    for (int32_t k = 0; k <= highest; ++k) {
      if (means[k] >= 0) present.push_back(k);
    }
    int order = order_of(means, present);
    if (order == 0 && present.size() > 1) {
      by_elevation(row, means, present, remark);
      return RowMethod::kRing;
    }
    if (present.size() == 1 && !beams_.empty()) {
      const int64_t only = present[0], mean = means[only];
      order = std::abs(mean - beams_[rows_ - 1 - only]) < std::abs(mean - beams_[only]) ? -1 : 1;
    }
    if (order < 0) flip(row);
    return RowMethod::kRing;
  }

  // Rows without given rings: of those that are recovered, or else of the nearest beam.
  RowMethod of_points(const std::vector<float>& angles, int64_t count, Ints& row) const {
    row.assign(count, 0);
    if (from_.sine.empty()) return RowMethod::kRing;
    Ints ring;
    if (recover_rings(from_, angles, ring) && of_recovered(ring)) {
      for (size_t i = 0; i < ring.size(); ++i) row[from_.index[i]] = ring[i];
      return RowMethod::kRing;
    }
    if (beams_.empty()) return RowMethod::kNone;
    const Ints nearest = nearest_rows();
    for (size_t i = 0; i < from_.sine.size(); ++i) row[from_.index[i]] = nearest[from_.sine[i]];
    return RowMethod::kBeams;
  }

 private:
  void flip(Ints& row) const {
    for (int32_t& value : row) value = rows_ - 1 - value;
  }

  Ints nearest_rows() const {
    Ints rows(kBins);
    int32_t row = static_cast<int32_t>(beams_.size()) - 1;
    for (int32_t bin = 0; bin < kBins; ++bin) {
      const int32_t above = std::min(bin + 1, kBins - 1);
      while (row > 0 && (static_cast<int64_t>(beams_[row - 1]) + beams_[row] + 1) / 2 < above) --row;
      rows[bin] = row;
    }
    return rows;
  }

  // Rows of rings with these elevations, from the top, when there are more beams than rings: of all ways to skip
  // beams, that with the least sum of differences between elevations of ring and beam.
  Ints row_of_each(const Longs& means) const {
    const size_t count = means.size(), beams = beams_.size();
    Longs least(beams + 1, 0);  // of the rings so far in the first rows
    std::vector<uint8_t> skipped(count * (beams + 1), 0);
    for (size_t k = 0; k < count; ++k) {
      int64_t before = least[0];
      least[0] = int64_t{1} << 40;
      for (size_t row = 1; row <= beams; ++row) {
        const int64_t taken = before + std::abs(means[k] - beams_[row - 1]);
        before = least[row];
        skipped[k * (beams + 1) + row] = least[row - 1] <= taken;
        least[row] = std::min(least[row - 1], taken);
      }
    }
    Ints rows(count);
    size_t row = beams;
    for (size_t k = count; k-- > 0;) {
      while (skipped[k * (beams + 1) + row]) --row;
      rows[k] = static_cast<int32_t>(--row);
    }
    return rows;
  }

  bool of_recovered(Ints& ring) const {
    const int32_t rings = *std::max_element(ring.begin(), ring.end()) + 1;
    if (rings > rows_) return false;
    if (beams_.empty() || rings == rows_) return true;
    const Tally tally = tally_of(ring, from_.sine);
    Longs means(rings);
    for (int32_t k = 0; k < rings; ++k) means[k] = tally.rounded_mean(k);
    const Ints rows = row_of_each(means);
    for (int32_t& value : ring) value = rows[value];
    return true;
  }

  bool number(Ints& ring) const {
    const auto ends = std::minmax_element(ring.begin(), ring.end());
    const int32_t lowest = *ends.first, highest = *ends.second;
    if (lowest >= 0 && highest < rows_) return true;
    if (lowest >= 1 && highest == rows_) {
      for (int32_t& value : ring) --value;
      return true;
    }
    if (lowest < 0 || highest >= 1 << 16) return false;
    Ints numbers(static_cast<size_t>(highest) + 1, 0);
    for (int32_t value : ring) numbers[value] = 1;
    if (std::accumulate(numbers.begin(), numbers.end(), 0) > rows_) return false;
    int32_t next = -1;
    for (int32_t& value : numbers) value = next += value;
    for (int32_t& value : ring) value = numbers[value];
    return true;
  }

  Longs means_of_far(const Ints& number, int32_t count) const {
    const float near = 0.5f * middle_range(from_.range_m);
    Tally all(count), far(count);
    for (size_t i = 0; i < from_.sine.size(); ++i) {
      const int32_t ring = number[from_.index[i]];
      all.add(ring, from_.sine[i]);
      if (from_.range_m[i] >= near) far.add(ring, from_.sine[i]);
    }
    Longs means(count);
    for (int32_t k = 0; k < count; ++k) {
      means[k] = far.members[k] ? far.rounded_mean(k) : all.rounded_mean(k);
    }
    return means;
  }

  static int order_of(const Longs& means, const Longs& present) {
    int64_t fall = 0, rise = 0;
    for (size_t k = 1; k < present.size(); ++k) {
      const int64_t step = means[present[k]] - means[present[k - 1]];
      (step < 0 ? fall : rise) += std::abs(step);
    }
    if (std::min(fall, rise) * 10 > std::max(fall, rise)) return 0;
    return fall >= rise ? 1 : -1;
  }

  void by_elevation(Ints& row, const Longs& means, const Longs& present, int32_t& remark) const {
    int64_t apart = 0, lowest = kBins, highest = 0;
    for (size_t i = 0; i < from_.sine.size(); ++i) apart += std::abs(from_.sine[i] - means[row[from_.index[i]]]);
    for (int64_t k : present) {
      lowest = std::min(lowest, means[k]);
      highest = std::max(highest, means[k]);
    }
    const double limit = 0.25 * static_cast<double>(highest - lowest) * static_cast<double>(from_.sine.size());
    if (static_cast<double>(apart * static_cast<int64_t>(present.size() - 1)) >= limit) {
      remark = 2;
      if (means[present.front()] < means[present.back()]) flip(row);
      return;
    }
    remark = 1;
    Longs order(present);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return means[a] > means[b]; });
    Ints row_of(means.size(), 0);
    Ints rows(order.size());
    std::iota(rows.begin(), rows.end(), 0);
    if (!beams_.empty() && static_cast<int32_t>(present.size()) < rows_) {
      Longs sorted;
      for (int64_t k : order) sorted.push_back(means[k]);
      rows = row_of_each(sorted);
    }
    for (size_t k = 0; k < order.size(); ++k) row_of[order[k]] = rows[k];
    for (int32_t& value : row) value = row_of[value];
  }

  const Directions& from_;
  const Ints beams_;
  const int32_t rows_;
};

}  // namespace hwnas

#endif  // HWNAS_ROWS_H_

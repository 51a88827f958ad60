// Rows of a range image: from rings, given or recovered, or from the nearest beam of a table. See
// hwnas.range_view.rows. Part of range_view.cpp; include range_view.h instead.

#ifndef HWNAS_ROWS_H_
#define HWNAS_ROWS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

#include "directions.h"
#include "exchanged_rings.h"
#include "range_view.h"
#include "rings.h"

namespace hwnas {

enum class RowMethod { kRing, kBeams, kNone, kWrongRing };

// Rings of points with a direction, 0 = the top one that has points; false where nothing tells them.
inline bool recover_rings(const Directions& from, PointInts& ring) {
  const size_t count = from.sine.size();
  if (count < kFewestPoints) return false;
  if (grouped_rings(from.sine, nullptr, ring)) return true;
  if (RingOrder(from.azimuth, from.sine).find(ring)) return true;
  if (grouped_rings(from.sine, &from.range_m, ring)) return true;
  const float near = 0.25f * middle_range(from.range_m);
  PointInts far, far_azimuth, far_sine, found;
  for (size_t i = 0; i < count; ++i) {
    if (!(from.range_m[i] >= near)) continue;
    far.push_back(static_cast<int32_t>(i));
    far_azimuth.push_back(from.azimuth[i]);
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

// Rows of the points; those without a direction may get any.
class RowFinder {
 public:
  RowFinder(const Directions& from, int32_t height, const int32_t* beams, int32_t num_beams)
      : from_(from), beams_(beams, beams + (beams ? num_beams : 0)), rows_(beams ? num_beams : height) {}

  // Rows of rings as a driver numbers them; `row` holds these and becomes rows.
  RowMethod of_given(IntSpan row, int32_t& remark) const {
    if (!row.count) return RowMethod::kRing;
    if (!number(row)) return RowMethod::kWrongRing;
    if (from_.sine.empty()) return RowMethod::kRing;
    Longs means = means_of_far(row, highest_of(row) + 1);
    Longs present;
    for (size_t k = 0; k < means.size(); ++k) {
      if (means[k] >= 0) present.push_back(static_cast<int64_t>(k));
    }
    int order = order_of(means, present);
    const bool is_monotonic = order != 0;
    if (!is_monotonic && are_tight(row, means, present)) {
      by_elevation(row, means, present);
      remark = HWNAS_REORDERED;
      return RowMethod::kRing;
    }
    if (!is_monotonic) order = means[present.front()] >= means[present.back()] ? 1 : -1;
    if (present.size() == 1 && !beams_.empty()) {
      const int64_t only = present[0], mean = means[only];
      order = std::abs(mean - beams_[rows_ - 1 - only]) < std::abs(mean - beams_[only]) ? -1 : 1;
    }
    const ExchangedRings::Finding found = ExchangedRings(from_, row, highest_of(row)).find(present, order);
    // An inclined sensor gives rings mean elevations in any order; at the same azimuth theirs is clear.
    if (found.contradicts || !(is_monotonic || found.is_clear)) remark = HWNAS_DISAGREE;
    if (!found.number.empty()) {
      if (!remark) remark = HWNAS_REORDERED;
      for (int32_t& value : row) value = found.number[value];
      renumber(means, found.number);
    }
    const int32_t first = base_of(row, present, means, order);
    if (is_monotonic && !remark && are_of_other_beams(means, present, order, first)) remark = HWNAS_OTHER_BEAMS;
    from_top(row, present, order, first);
    return RowMethod::kRing;
  }

  // Rows without given rings: of those that are recovered, or else of the nearest beam.
  RowMethod of_points(IntSpan row) const {
    if (from_.sine.empty()) return RowMethod::kRing;
    PointInts ring;
    if (recover_rings(from_, ring) && of_recovered(ring)) {
      spread(ring, row);
      return RowMethod::kRing;
    }
    if (beams_.empty()) return RowMethod::kNone;
    const Ints nearest = nearest_rows();
    for (size_t i = 0; i < from_.sine.size(); ++i) row[from_.index[i]] = nearest[from_.sine[i]];
    return RowMethod::kBeams;
  }

 private:
  // Rows of rings that are numbered by elevation. Where beams are known, the ring `first` is the first of them. Else
  // the first ring with points is, as for rings that are recovered, which may be fewer than the rows of the image.
  void from_top(IntSpan row, const Longs& present, int order, int32_t first) const {
    const bool are_known = !beams_.empty();
    const int32_t last = are_known ? rows_ - 1 + first : static_cast<int32_t>(present.back());
    const int32_t sign = order < 0 ? -1 : 1, top = are_known ? first : static_cast<int32_t>(present.front());
    const int32_t base = order < 0 ? last : -top;
    // Points without a direction may have other rings.
    const int32_t least = are_known ? std::numeric_limits<int32_t>::min() : 0;
    for (int32_t& value : row) value = std::max(base + sign * value, least);
  }

  // Whether elevations of rings fit other rows than theirs far better. So it is where rings without points were left
  // out when rings were numbered.
  bool are_of_other_beams(const Longs& means, const Longs& present, int order, int32_t first) const {
    if (beams_.empty() || static_cast<int32_t>(present.size()) == rows_) return false;
    Longs from_above(present.size());
    Ints own(present.size());
    for (size_t k = 0; k < present.size(); ++k) {
      const int64_t ring = present[order < 0 ? present.size() - 1 - k : k];
      from_above[k] = means[static_cast<size_t>(ring)];
      own[k] = static_cast<int32_t>(order < 0 ? rows_ - 1 + first - ring : ring - first);
    }
    return 4 * apart_of(from_above, row_of_each(from_above)) < apart_of(from_above, own);
  }

  int64_t apart_of(const Longs& means, const Ints& rows) const {
    int64_t apart = 0;
    for (size_t k = 0; k < means.size(); ++k) apart += std::abs(means[k] - beams_[rows[k]]);
    return apart;
  }

  static void renumber(Longs& means, const Ints& numbers) {
    const Longs before(means);
    for (size_t k = 0; k < before.size(); ++k) means[static_cast<size_t>(numbers[k])] = before[k];
  }

  void spread(const PointInts& of_usable, IntSpan row) const {
    if (of_usable.size() == row.count) {
      std::copy(of_usable.begin(), of_usable.end(), row.begin());
    } else {
      for (size_t i = 0; i < of_usable.size(); ++i) row[from_.index[i]] = of_usable[i];
    }
  }

  // Whether rings count from 0 or 1, where neither 0 nor the number of beams is among them. Only elevations that fit
  // far better make it 1, and only those of a whole turn: in a part of one, those of an inclined sensor are those of
  // another beam.
  int32_t base_of(IntSpan number, const Longs& present, const Longs& means, int order) const {
    if (beams_.empty() || lowest_of(number) < 1) return 0;
    if (5 * *std::min_element(from_.quadrants, from_.quadrants + 4) < static_cast<int64_t>(from_.sine.size())) return 0;
    int64_t from_0 = 0, from_1 = 0;
    for (const int64_t k : present) {
      const int64_t row = order < 0 ? rows_ - 1 - k : k;
      from_0 += std::abs(means[k] - beams_[row]);
      from_1 += std::abs(means[k] - beams_[order < 0 ? row + 1 : row - 1]);
    }
    return 4 * from_1 < from_0 ? 1 : 0;
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
    Vector<uint8_t> skipped(count * (beams + 1), 0);
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

  bool of_recovered(PointInts& ring) const {
    const int32_t rings = highest_of(ring) + 1;
    if (rings > rows_) return false;
    if (beams_.empty() || rings == rows_) return true;
    const Tally tally = tally_of(ring, from_.sine);
    Longs means(rings);
    for (int32_t k = 0; k < rings; ++k) means[k] = tally.rounded_mean(k);
    const Ints rows = row_of_each(means);
    for (int32_t& value : ring) value = rows[value];
    return true;
  }

  bool number(IntSpan ring) const {
    const int32_t lowest = lowest_of(ring), highest = highest_of(ring);
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

  Longs means_of_far(IntSpan number, int32_t count) const {
    const float near = 0.5f * middle_range(from_.range_m);
    // Of each ring those that are near, and those that are far.
    PointTally tally(2 * static_cast<size_t>(count));
    for (size_t i = 0; i < from_.sine.size(); ++i) {
      const size_t ring = static_cast<size_t>(number[from_.index[i]]);
      tally.add(i, 2 * ring + (from_.range_m[i] >= near), from_.sine[i]);
    }
    const Tally parts = tally.sum();
    Tally all(count), far(count);
    for (size_t k = 0; k < static_cast<size_t>(count); ++k) {
      far.sums[k] = parts.sums[2 * k + 1];
      far.members[k] = parts.members[2 * k + 1];
      all.sums[k] = parts.sums[2 * k] + far.sums[k];
      all.members[k] = parts.members[2 * k] + far.members[k];
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

  // Whether points of a ring lie near to its mean, as where rings are beams in any order.
  bool are_tight(IntSpan row, const Longs& means, const Longs& present) const {
    int64_t apart = 0, lowest = kBins, highest = 0;
    for (size_t i = 0; i < from_.sine.size(); ++i) apart += std::abs(from_.sine[i] - means[row[from_.index[i]]]);
    for (int64_t k : present) {
      lowest = std::min(lowest, means[k]);
      highest = std::max(highest, means[k]);
    }
    const double limit = 0.25 * static_cast<double>(highest - lowest) * static_cast<double>(from_.sine.size());
    return static_cast<double>(apart * static_cast<int64_t>(present.size() - 1)) < limit;
  }

  // Rows of rings that are numbered in another order than that of their elevations.
  void by_elevation(IntSpan row, const Longs& means, const Longs& present) const {
    Longs order(present);  // of equal ones in the order of their numbers; std::stable_sort would allocate
    std::sort(order.begin(), order.end(),
              [&](int64_t a, int64_t b) { return means[a] != means[b] ? means[a] > means[b] : a < b; });
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

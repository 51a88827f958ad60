// Given rings that are shifted by one or more in a part of the turn. See hwnas.range_view.shifted_rings. Part of
// range_view.cpp; include range_view.h instead.

#ifndef HWNAS_SHIFTED_RINGS_H_
#define HWNAS_SHIFTED_RINGS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "ring_cells.h"

namespace hwnas {

// Finds the places of a turn where the elevations of all rings step by a spacing or more.
class ShiftedRings {
 public:
  // Of rings that have points, from the top.
  ShiftedRings(const RingCells& cells, const Longs& from_top)
      : rings_(from_top.size()), is_there_(rings_ * kCells), sine_(rings_ * kCells), near_(rings_ * kCells) {
    for (size_t k = 0; k < rings_; ++k) {
      const size_t first = static_cast<size_t>(from_top[k]) * kCells;
      for (size_t cell = 0; cell < kCells; ++cell) {
        const int64_t members = cells.members[first + cell];
        is_there_[k * kCells + cell] = members > 0;
        sine_[k * kCells + cell] = kParts * cells.sines[first + cell] / std::max(members, int64_t{1});
        near_[k * kCells + cell] = kParts * cells.nearness[first + cell] / std::max(members, int64_t{1});
      }
    }
  }

  bool are_shifted_in_part() const {
    if (rings_ < static_cast<size_t>(kFewestRings)) return false;
    double step[kCells];
    find_steps(step);
    size_t first = 0;
    for (size_t cell = 1; cell < kCells; ++cell) {
      if (step[cell] > step[first]) first = cell;
    }
    for (size_t away = 0; away <= 2 * kPlace; ++away) step[(first + kCells - kPlace + away) % kCells] = 0.0;
    return *std::max_element(step, step + kCells) > kShifted;
  }

 private:
  // Parts of the steps of sums that means of cells count in; the squares of steps of nearness of a ring add up to far
  // more where they tell how elevation follows it; from which cell to which steps are seen; rings that must tell one;
  // cells on both sides whose steps tell the inclination, and that belong to one place.
  static constexpr int32_t kParts = 16, kSteady = 1 << 18, kApart = 2, kFewestRings = 5, kPlace = 4;
  static constexpr size_t kAround[] = {5, 8};
  static constexpr double kShareOfRings = 0.4, kShifted = 0.7;

  // The steps, in spacings, that most rings have in common; 0 where unknown.
  void find_steps(double* step) const {
    const size_t least = std::max(static_cast<size_t>(kFewestRings),
                                  static_cast<size_t>(kShareOfRings * static_cast<double>(rings_)));
    Vector<double> of_rings(rings_ * kCells), gaps, some;
    for (size_t k = 0; k + 1 < rings_; ++k) gaps.push_back(gap_below(k));
    for (size_t k = 0; k < rings_; ++k) {
      const double spacing = (gaps[k ? k - 1 : 0] + gaps[std::min(k, rings_ - 2)]) * 0.5;
      find_steps_of(k, spacing, of_rings.data() + k * kCells);
    }
    for (size_t cell = 0; cell < kCells; ++cell) {
      some.clear();
      for (size_t k = 0; k < rings_; ++k) {
        const double value = of_rings[k * kCells + cell];
        if (!std::isnan(value)) some.push_back(value);
      }
      step[cell] = some.size() < least ? 0.0 : std::abs(middle_of(some));
    }
  }

  // The steps of one ring without what nearness and inclination make of them; NaN where unknown.
  void find_steps_of(size_t ring, double spacing, double* found) const {
    const double slope = slope_of(ring);
    double step[kCells];
    for (size_t cell = 0; cell < kCells; ++cell) {
      const size_t from = ring * kCells + cell, to = ring * kCells + (cell + kApart) % kCells;
      const double up = static_cast<double>(sine_[to] - sine_[from]);
      const double nearer = static_cast<double>(near_[to] - near_[from]);
      step[cell] = is_there_[from] && is_there_[to] ? (up - slope * nearer) / spacing
                                                    : std::numeric_limits<double>::quiet_NaN();
    }
    for (size_t cell = 0; cell < kCells; ++cell) {
      double around[2];
      for (size_t k = 0; k < 2; ++k) {
        around[k] = (step[(cell + kCells - kAround[k]) % kCells] + step[(cell + kAround[k]) % kCells]) * 0.5;
      }
      // The middle one of three; NaN if one of them is.
      const double low = std::min(around[0], around[1]), high = std::max(around[0], around[1]);
      const bool is_known = !std::isnan(around[0]) && !std::isnan(around[1]) && !std::isnan(step[cell]);
      found[cell] = is_known ? step[cell] - std::max(low, std::min(high, step[cell]))
                             : std::numeric_limits<double>::quiet_NaN();
    }
  }

  // How the elevation of a ring changes with nearness.
  double slope_of(size_t ring) const {
    int64_t both = 0, square = 0;
    for (size_t cell = 0; cell < kCells; ++cell) {
      const size_t from = ring * kCells + cell, to = ring * kCells + (cell + 1) % kCells;
      if (!is_there_[from] || !is_there_[to]) continue;
      const int64_t nearer = near_[to] - near_[from];
      both += (sine_[to] - sine_[from]) * nearer;
      square += nearer * nearer;
    }
    return static_cast<double>(both) / static_cast<double>(kSteady + square);
  }

  // How far below a ring the next one lies in the cells they share.
  double gap_below(size_t ring) const {
    int64_t apart = 0, shared = 0;
    for (size_t cell = 0; cell < kCells; ++cell) {
      const size_t upper = ring * kCells + cell, lower = upper + kCells;
      if (!is_there_[upper] || !is_there_[lower]) continue;
      apart += sine_[upper] - sine_[lower];
      ++shared;
    }
    return static_cast<double>(std::max(std::abs(apart) / std::max(shared, int64_t{1}), int64_t{1}));
  }

  static double middle_of(Vector<double>& some) {
    const auto middle = some.begin() + static_cast<std::ptrdiff_t>((some.size() - 1) / 2);
    std::nth_element(some.begin(), middle, some.end());
    return *middle;
  }

  const size_t rings_;
  Vector<uint8_t> is_there_;
  Longs sine_, near_;
};

}  // namespace hwnas

#endif  // HWNAS_SHIFTED_RINGS_H_

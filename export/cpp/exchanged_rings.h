// Given rings of which some neighbours have exchanged numbers, told by elevations at the same azimuth. See
// hwnas.range_view.exchanged_rings. Part of range_view.cpp; include range_view.h instead.

#ifndef HWNAS_EXCHANGED_RINGS_H_
#define HWNAS_EXCHANGED_RINGS_H_

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "directions.h"

namespace hwnas {

class ExchangedRings {
 public:
  enum class Finding { kNone, kRenumbered, kContradiction };

  // Of rings as given, of which the highest is that of all points, also of those without a direction.
  ExchangedRings(const Directions& from, IntSpan ring, int32_t highest)
      : sums_((static_cast<size_t>(highest) + 1) * kCells, 0), members_(sums_.size(), 0) {
    for (size_t i = 0; i < from.sine.size(); ++i) {
      const int32_t cell = ((from.azimuth[i] + kTurn / 2) & (kTurn - 1)) / (kTurn / kCells);
      const size_t place = static_cast<size_t>(ring[from.index[i]]) * kCells + static_cast<size_t>(cell);
      sums_[place] += from.sine[i];
      ++members_[place];
    }
  }

  // How rings are to be numbered so that each is above the next; `present` has points, and counts from the top if
  // `order` is 1, from the bottom if it is -1.
  Finding find(const Longs& present, int order, Ints& number) const {
    if (present.size() < 2) return Finding::kNone;
    Longs from_top(present);
    if (order < 0) std::reverse(from_top.begin(), from_top.end());
    int64_t judged = 0, wrong = 0, unclear = 0;
    for (size_t k = 1; k < from_top.size(); ++k) {
      const Votes votes = votes_of(from_top[k - 1], from_top[k]);
      judged += votes.shared >= kFewestVotes;
      wrong += votes.are_wrong();
      unclear += votes.shared >= kFewestVotes && !votes.are_wrong() && kFew * votes.below >= votes.shared;
    }
    if (!wrong || kMost * unclear >= judged) return Finding::kNone;
    Longs found(from_top);
    if (wrong > std::max(int64_t{1}, judged / kMost) || !sort(found)) return Finding::kContradiction;
    number.resize(members_.size() / kCells);
    std::iota(number.begin(), number.end(), 0);
    for (size_t k = 0; k < found.size(); ++k) number[found[k]] = static_cast<int32_t>(from_top[k]);
    return Finding::kRenumbered;
  }

 private:
  // Cells to a turn, and how many two rings must share to be judged; one vote in how many is few; one pair in how many
  // may be unclear, or wrong.
  static constexpr int32_t kCells = 256, kFewestVotes = 5, kFew = 4, kMost = 10;

  struct Votes {
    int32_t shared, above, below;
    bool are_wrong() const { return shared >= kFewestVotes && kFew * above < shared; }
  };

  Votes votes_of(int64_t upper, int64_t lower) const {
    Votes votes{0, 0, 0};
    const size_t first = static_cast<size_t>(upper) * kCells, second = static_cast<size_t>(lower) * kCells;
    for (size_t cell = 0; cell < kCells; ++cell) {
      const int64_t members = members_[first + cell], others = members_[second + cell];
      if (!members || !others) continue;
      const int64_t above = sums_[first + cell] * others - sums_[second + cell] * members;
      ++votes.shared;
      votes.above += above >= 0;
      votes.below += above <= 0;
    }
    return votes;
  }

  // Exchanges wrong neighbours until there are none; false if there always are.
  bool sort(Longs& order) const {
    for (size_t round = 0; round < order.size(); ++round) {
      bool has_changed = false;
      for (size_t k = 1; k < order.size(); ++k) {
        if (!votes_of(order[k - 1], order[k]).are_wrong()) continue;
        std::swap(order[k - 1], order[k]);
        has_changed = true;
      }
      if (!has_changed) return true;
    }
    return false;
  }

  Longs sums_;
  Ints members_;
};

}  // namespace hwnas

#endif  // HWNAS_EXCHANGED_RINGS_H_

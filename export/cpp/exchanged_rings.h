// Given rings that elevations at the same azimuth contradict, and exchanged neighbours that are put right. See
// hwnas.range_view.exchanged_rings. Part of range_view.cpp; include range_view.h instead.

#ifndef HWNAS_EXCHANGED_RINGS_H_
#define HWNAS_EXCHANGED_RINGS_H_

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "directions.h"
#include "ring_cells.h"
#include "shifted_rings.h"

namespace hwnas {

class ExchangedRings {
 public:
  struct Finding {
    Ints number;  // what each ring is to be numbered; empty where it keeps its number
    bool contradicts = false;
    bool is_clear = false;  // whether elevations tell the order of all neighbours that can be judged, at least of half
  };

  ExchangedRings(const Directions& from, IntSpan ring, int32_t highest)
      : from_(from), ring_(ring), cells_(from, ring, highest) {}

  // How rings are to be numbered so that each is above the next; `present` has points, and counts from the top if
  // `order` is 1, from the bottom if it is -1.
  Finding find(const Longs& present, int order) const {
    Finding finding;
    if (present.size() < 2) return finding;
    Longs from_top(present);
    if (order < 0) std::reverse(from_top.begin(), from_top.end());
    int64_t judged = 0, wrong = 0, unclear = 0;
    for (size_t k = 1; k < from_top.size(); ++k) {
      const Votes votes = votes_of(from_top[k - 1], from_top[k]);
      judged += votes.shared >= kFewestVotes;
      wrong += votes.are_wrong();
      unclear += votes.shared >= kFewestVotes && !votes.are_wrong() && kFew * votes.below >= votes.shared;
    }
    const bool is_clear = !unclear && 2 * judged >= static_cast<int64_t>(from_top.size() - 1);
    if (wrong && kMost * unclear >= judged) return finding;
    finding.is_clear = is_clear;
    Longs found(from_top);
    finding.contradicts = (wrong && (wrong > std::max(int64_t{1}, judged / kMost) || !sort(found))) ||
                          are_astray(found) || ShiftedRings(cells_, found).are_shifted_in_part();
    if (finding.contradicts || !wrong) return finding;
    finding.number.resize(cells_.rings);
    std::iota(finding.number.begin(), finding.number.end(), 0);
    for (size_t k = 0; k < found.size(); ++k) finding.number[found[k]] = static_cast<int32_t>(from_top[k]);
    return finding;
  }

 private:
  // Cells that two rings must share to be judged; one vote in how many is few; one pair in how many may be unclear, or
  // wrong; one point in how many may be nearer to the ring two above or below.
  static constexpr int32_t kFewestVotes = 5, kFew = 4, kMost = 10, kStray = 5;

  struct Votes {
    int32_t shared, above, below;
    bool are_wrong() const { return shared >= kFewestVotes && kFew * above < shared; }
  };

  Votes votes_of(int64_t upper, int64_t lower) const {
    Votes votes{0, 0, 0};
    const size_t first = static_cast<size_t>(upper) * kCells, second = static_cast<size_t>(lower) * kCells;
    for (size_t cell = 0; cell < kCells; ++cell) {
      const int64_t members = cells_.members[first + cell], others = cells_.members[second + cell];
      if (!members || !others) continue;
      const int64_t above = cells_.sines[first + cell] * others - cells_.sines[second + cell] * members;
      ++votes.shared;
      votes.above += above >= 0;
      votes.below += above <= 0;
    }
    return votes;
  }

  // Whether many points are nearer to the ring two above or below than to their own, in their cell. The next ring
  // does not count: where beams do not meet in the origin, elevations of neighbours overlap.
  bool are_astray(const Longs& from_top) const {
    const size_t rings = from_top.size();
    Ints place(cells_.rings, 0);
    Ints means(rings * kCells, -1);  // of rings that are there, from the top; -1 without points
    for (size_t k = 0; k < rings; ++k) {
      const size_t first = static_cast<size_t>(from_top[k]) * kCells;
      place[static_cast<size_t>(from_top[k])] = static_cast<int32_t>(k);
      for (size_t cell = 0; cell < kCells; ++cell) {
        const int32_t members = cells_.members[first + cell];
        if (members) means[k * kCells + cell] = static_cast<int32_t>(cells_.sines[first + cell] / members);
      }
    }
    int64_t judged = 0, astray = 0;
    for (size_t i = 0; i < from_.sine.size(); ++i) {
      const size_t own = static_cast<size_t>(place[static_cast<size_t>(ring_[from_.index[i]])]);
      const size_t cell = RingCells::cell_of(from_, i);
      const int32_t above = own >= 2 ? means[(own - 2) * kCells + cell] : -1;
      const int32_t below = own + 2 < rings ? means[(own + 2) * kCells + cell] : -1;
      const int32_t sine = from_.sine[i], apart = std::abs(sine - means[own * kCells + cell]);
      judged += above >= 0 || below >= 0;
      astray += (above >= 0 && std::abs(sine - above) < apart) || (below >= 0 && std::abs(sine - below) < apart);
    }
    return kStray * astray > judged;
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

  const Directions& from_;
  const IntSpan ring_;
  const RingCells cells_;
};

}  // namespace hwnas

#endif  // HWNAS_EXCHANGED_RINGS_H_

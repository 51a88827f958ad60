// Rings of points that come ring by ring; see hwnas.range_view.ring_order. Part of range_view.cpp; include range_view.h
// instead.

#ifndef HWNAS_RINGS_H_
#define HWNAS_RINGS_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "beam_groups.h"

namespace hwnas {

// Rings of points that come ring by ring.
class RingOrder {
 public:
  RingOrder(const PointInts& azimuth, const PointInts& sine) : azimuth_(azimuth), sine_(sine) {}

  bool find(PointInts& ring) {
    int32_t cut = 0;
    if (!run() || !find_cut(cut)) return false;
    ring.resize(sine_.size());
    const int32_t least = (lowest_ - cut) >> 22;
    for (size_t i = 0; i < ring.size(); ++i) ring[i] = ((run_[i] - cut) >> 22) - least;
    Tally tally = tally_of(ring, sine_);
    if (remove_strays(ring, tally)) tally = tally_of(ring, sine_);
    return put_top_first(ring, tally);
  }

 private:
  static constexpr int32_t kCells = 128, kCell = kTurn / kCells, kFine = kCell / 2, kMargin = 6, kNearCells = 2;

  bool run() {
    const size_t count = azimuth_.size();
    int32_t ahead = 0, back = 0;
    for (size_t i = 0; i + 1 < count; ++i) {
      const int32_t step = step_from(i);
      ahead += step > 0;
      back += step < 0;
    }
    if (static_cast<double>(std::max(ahead, back)) < 0.7 * static_cast<double>(count - 1)) return false;
    const int32_t sense = back > ahead ? -1 : 1;
    // Rings of a narrow sector may miss their ends: the next one then begins less than the sector further back.
    const int32_t seen = kCells - static_cast<int32_t>(widest_gap(azimuth_).size);
    const int32_t backward = std::min(kTurn / 18, seen * kCell / 4);
    constexpr int32_t kLeast = -kMargin * kCell, kMost = (kMaxRings + 2) * kTurn;
    run_.resize(count);
    run_[0] = 0;
    int32_t at = 0;
    for (size_t i = 0; i + 1 < count; ++i) {
      const int32_t step = sense * step_from(i);
      at += step < -backward ? step + kTurn : step;
      if (at < kLeast || at >= kMost) return false;
      lowest_ = std::min(lowest_, at);
      run_[i + 1] = at;
    }
    return run_.back() > (kMinRings - 1) * kTurn && run_.back() < (kMaxRings + 1) * kTurn;
  }

  // The step of azimuth to the next point, from half a turn back to half a turn on.
  int32_t step_from(size_t i) const {
    return ((azimuth_[i + 1] - azimuth_[i] + kTurn / 2) & (kTurn - 1)) - kTurn / 2;
  }

  bool find_cut(int32_t& cut) const {
    // A file begins after one cut and ends before another, so that the cut lies between these azimuths.
    const int32_t last = run_.back() % kTurn / kCell;
    Gap gap{};
    if (!unseen_sector(last, gap)) {
      const int32_t low = last - kMargin;
      return kCells + kMargin - low <= kCells / 2 && cut_within(low, kCells + kMargin, false, cut);
    }
    // Where other turns see more of the sector than the file's first one, or its last one, the cut may lie there.
    const int32_t begin = static_cast<int32_t>(gap.begin), end = static_cast<int32_t>(gap.begin + gap.size);
    if (may_hold_cut(end - 1, kCells + kNearCells, cut) ||
        may_hold_cut(last - kNearCells, begin + 1, cut)) {
      return true;
    }
    cut = (begin + end) * kCell / 2 & (kTurn - 1);
    return true;
  }

  bool may_hold_cut(int32_t low, int32_t high, int32_t& cut) const {
    return high - low > 2 * kNearCells + 1 && cut_within(low, high, true, cut);
  }

  // The cut within cells low to high of the turn that ends where the file begins. With `certain`, most turns must
  // make a step to the next beam there.
  bool cut_within(int32_t low, int32_t high, bool certain, int32_t& cut) const {
    const int32_t start = (low - kCells) * kCell;
    Near near;
    Doubles beam;
    divide(start, (high - low) * kCell, near, beam);
    if (beam.size() < 2) return false;
    const double direction = beam.back() > beam.front() ? 1.0 : -1.0;
    const double least = 0.3 * std::fabs(beam.back() - beam.front()) / static_cast<double>(beam.size());
    near.keep_before(static_cast<int32_t>(beam.size()));
    if (!least || near.turn.empty()) return false;
    Doubles spacing(beam.size() - 1);
    for (size_t i = 0; i < spacing.size(); ++i) {
      spacing[i] = std::max((beam[i + 1] - beam[i]) * direction, least) * direction;
    }
    bool is_break = false;
    int64_t cell = 0;
    const Steps steps(near, spacing);
    if (!steps.most_frequent([](double step) { return step > 0.5 && step < 1.7; }, certain ? 0.6 : 0.4,
                             cell)) {
      if (certain) return false;
      is_break = true;
      if (!steps.most_frequent([](double step) { return std::fabs(step) > 0.2; }, 0.6, cell)) return false;
    }
    cut = start + static_cast<int32_t>(place_of_cut(near, spacing, cell, is_break));
    return true;
  }

  // The most cells in a row that hold hardly any point.
  struct Gap {
    int64_t begin, size;
  };

  static Gap widest_gap(const PointInts& azimuth) {
    int32_t counts[4][kCells] = {};  // neighbours lie in the same cell, and do not wait for each other
    for (size_t i = 0; i < azimuth.size(); ++i) ++counts[i % 4][(azimuth[i] >> 15) & (kCells - 1)];
    Ints members(kCells);
    for (int32_t cell = 0; cell < kCells; ++cell) {
      members[cell] = counts[0][cell] + counts[1][cell] + counts[2][cell] + counts[3][cell];
    }
    const double least = 0.02 * static_cast<double>(azimuth.size()) / kCells;
    Longs seen;
    for (int32_t cell = 0; cell < kCells; ++cell) {
      if (static_cast<double>(members[cell]) >= least) seen.push_back(cell);
    }
    Gap widest{0, -1};
    for (size_t k = 0; k < seen.size(); ++k) {
      const int64_t next = k + 1 < seen.size() ? seen[k + 1] : seen.front() + kCells;
      if (next - seen[k] - 1 > widest.size) widest = {seen[k] + 1, next - seen[k] - 1};
    }
    return widest;
  }

  // Whether a partial turn leaves out a sector, and which.
  bool unseen_sector(int32_t last, Gap& gap) const {
    gap = widest_gap(run_);
    return gap.size >= 4 && gap.begin + gap.size >= last;
  }

  // Points near the cut.
  struct Near {
    Ints turn, phase, sine;

    void add(int32_t of_turn, int32_t at_phase, int32_t at_sine) {
      turn.push_back(of_turn);
      phase.push_back(at_phase);
      sine.push_back(at_sine);
    }

    // Keeps the points of turns from 1 to before `turns`, and counts these from 0.
    void keep_before(int32_t turns) {
      size_t kept = 0;
      for (size_t i = 0; i < turn.size(); ++i) {
        if (turn[i] <= 0 || turn[i] >= turns) continue;
        turn[kept] = turn[i] - 1;
        phase[kept] = phase[i];
        sine[kept++] = sine[i];
      }
      turn.resize(kept);
      phase.resize(kept);
      sine.resize(kept);
    }
  };

  // Points near the cut, and of the others the mean elevation of each turn.
  void divide(int32_t start, int32_t width, Near& near, Doubles& beam) const {
    PointTally others(static_cast<size_t>(kMaxRings) + 4);
    int32_t highest = -1;
    for (size_t i = 0; i < run_.size(); ++i) {
      // A file's first points may lie before where the azimuth of its first turn begins.
      const int32_t turn = std::max((run_[i] - start) >> 22, 0), phase = (run_[i] - start) & (kTurn - 1);
      if (phase < width) {
        near.add(turn, phase, sine_[i]);
      } else {
        others.add(i, static_cast<size_t>(turn), sine_[i]);
        highest = std::max(highest, turn);
      }
    }
    const Tally tally = others.sum();
    size_t latest = 0;
    while (highest >= 0 && !tally.members[latest]) ++latest;
    for (int32_t turn = 0; turn <= highest; ++turn) {
      if (tally.members[turn]) latest = static_cast<size_t>(turn);
      beam.push_back(tally.mean(latest));
    }
  }

  // Steps of elevation over each inner cell, in spacings; NaN where unknown.
  struct Steps {
    int64_t turns, cells;
    Doubles step;

    Steps(const Near& near, const Doubles& spacing)
        : turns(static_cast<int64_t>(spacing.size())),
          cells(*std::max_element(near.phase.begin(), near.phase.end()) / kFine + 1) {
      Tally tally(static_cast<size_t>(turns * cells));
      for (size_t i = 0; i < near.turn.size(); ++i) {
        tally.add(static_cast<size_t>(near.turn[i] * cells + near.phase[i] / kFine), near.sine[i]);
      }
      step.assign(static_cast<size_t>(turns * std::max<int64_t>(cells - 2, 0)),
                  std::numeric_limits<double>::quiet_NaN());
      Longs after(static_cast<size_t>(cells));
      for (int64_t turn = 0; turn < turns; ++turn) {
        const int64_t row = turn * cells;
        int64_t next = cells;
        for (int64_t cell = cells - 1; cell >= 0; --cell) {
          if (tally.members[row + cell]) next = cell;
          after[cell] = next;
        }
        int64_t before = -1;
        for (int64_t cell = 0; cell + 2 < cells; ++cell) {
          if (tally.members[row + cell]) before = cell;
          const int64_t high = after[cell + 2];
          if (before < 0 || high == cells) continue;
          step[turn * (cells - 2) + cell] = (tally.mean(row + high) - tally.mean(row + before)) / spacing[turn];
        }
      }
    }

    template <typename IsStep>
    bool most_frequent(IsStep is_step, double share, int64_t& cell) const {
      int64_t best = -1, known_most = 0;
      for (int64_t column = 0; column + 2 < cells; ++column) {
        int64_t votes = 0, known = 0;
        for (int64_t turn = 0; turn < turns; ++turn) {
          const double value = step[turn * (cells - 2) + column];
          known += std::isfinite(value);
          votes += is_step(value);
        }
        known_most = std::max(known_most, known);
        if (votes > best) {
          best = votes;
          cell = column + 1;
        }
      }
      const int64_t turns_seen = std::max<int64_t>(known_most, kMinRings - 1);
      return best >= 0 && static_cast<double>(best) >= share * static_cast<double>(turns_seen);
    }
  };

  int64_t place_of_cut(const Near& near, const Doubles& spacing, int64_t cell, bool is_break) const {
    const int64_t low = (cell - 1) * kFine, high = (cell + 2) * kFine;
    Near inner;
    for (size_t i = 0; i < near.turn.size(); ++i) {
      if (near.phase[i] >= low && near.phase[i] < high) inner.add(near.turn[i], near.phase[i], near.sine[i]);
    }
    struct Best {
      double step;
      size_t pair;
    };
    Vector<Best> best(spacing.size(), {-std::numeric_limits<double>::infinity(), SIZE_MAX});
    for (size_t i = 0; i + 1 < inner.turn.size(); ++i) {
      if (inner.turn[i + 1] != inner.turn[i] || inner.phase[i + 1] <= inner.phase[i]) continue;
      Best& of_turn = best[inner.turn[i]];
      double step = static_cast<double>(inner.sine[i + 1] - inner.sine[i]) / spacing[inner.turn[i]];
      if (is_break) step = std::fabs(step);
      if (step >= of_turn.step) of_turn = {step, i};
    }
    Vector<std::pair<int64_t, int>> events;
    for (const Best& of_turn : best) {
      if (of_turn.pair == SIZE_MAX) continue;
      events.emplace_back(inner.phase[of_turn.pair] + 1, 1);
      events.emplace_back(inner.phase[of_turn.pair + 1] + 1, -1);
    }
    if (events.empty()) return cell * kFine + kFine / 2;
    std::sort(events.begin(), events.end());
    int64_t covered = 0, most = std::numeric_limits<int64_t>::min();
    size_t at = 0;
    for (size_t i = 0; i < events.size(); ++i) {
      covered += events[i].second;
      if (covered > most) {
        most = covered;
        at = i;
      }
    }
    return (events[at].first + events[at + 1].first) / 2;
  }

  static bool remove_strays(PointInts& ring, const Tally& tally) {
    const size_t count = tally.members.size();
    if (count < kMinRings) return false;
    const double few = 0.05 * static_cast<double>(middle_of(tally.members));
    const double spacing = std::fabs(tally.mean(0) - tally.mean(count - 1)) / static_cast<double>(count);
    Vector<uint8_t> kept(count);
    for (size_t k = 0; k < count; ++k) kept[k] = tally.members[k] > 0;
    for (int side = 0; side < 2; ++side) {
      const size_t edge = side ? count - 1 : 0, inner = side ? count - 2 : 1;
      const double members = static_cast<double>(tally.members[edge]);
      if (members < few &&
          (members < few / 5 || std::fabs(tally.mean(edge) - tally.mean(inner)) < spacing / 2)) {
        kept[edge] = 0;
      }
    }
    if (std::find(kept.begin(), kept.end(), 0) == kept.end()) return false;
    Ints number(count);
    int32_t next = -1;
    for (size_t k = 0; k < count; ++k) number[k] = std::max(next += kept[k], 0);
    for (int32_t& value : ring) value = number[value];
    return true;
  }

  static bool put_top_first(PointInts& ring, const Tally& tally) {
    const int64_t rings = static_cast<int64_t>(tally.members.size());
    if (rings < kMinRings || rings > kMaxRings) return false;
    int64_t falling = 0, rising = 0;
    for (int64_t k = 1; k < rings; ++k) {
      const double change = tally.mean(k) - tally.mean(k - 1);
      falling += change < 0;
      rising += change > 0;
    }
    if (static_cast<double>(std::max(falling, rising)) < 0.8 * static_cast<double>(rings - 1)) return false;
    if (falling < rising) {
      for (int32_t& value : ring) value = static_cast<int32_t>(rings - 1) - value;
    }
    return true;
  }

  const PointInts& azimuth_;
  const PointInts& sine_;
  PointInts run_;
  int32_t lowest_ = 0;  // of the run
};

}  // namespace hwnas

#endif  // HWNAS_RINGS_H_

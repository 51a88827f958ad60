// Rings and rows of LiDAR points; the functions of hwnas.data.rings, beam_groups, ring_order and rows, which
// say how they work. All is integer arithmetic, or double arithmetic in the same order, so that both give the
// same rows. Part of range_view.cpp; include range_view.h instead.

#ifndef HWNAS_RINGS_H_
#define HWNAS_RINGS_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <vector>

namespace hwnas {

constexpr int32_t kSineSteps = 1 << 15;
constexpr int32_t kBins = 2 * kSineSteps;
constexpr int32_t kTurn = 1 << 22;
constexpr int kMinRings = 4, kMaxRings = 128, kMaxBeams = 256;
constexpr size_t kFewestPoints = 4 * kMinRings;

using Ints = std::vector<int32_t>;
using Longs = std::vector<int64_t>;
using Doubles = std::vector<double>;

// Floor of a number that an int32_t can hold; std::floor is a function call on older processors.
inline int32_t whole(float value) {
  const int32_t truncated = static_cast<int32_t>(value);
  return truncated - (value < static_cast<float>(truncated));
}

// Median of some of the distances, the upper one of two.
inline float middle_range(const std::vector<float>& range_m) {
  const size_t stride = std::max<size_t>(1, range_m.size() / 4096);
  std::vector<float> some;
  for (size_t i = 0; i < range_m.size(); i += stride) some.push_back(range_m[i]);
  std::nth_element(some.begin(), some.begin() + some.size() / 2, some.end());
  return some[some.size() / 2];
}

inline int64_t middle_of(Longs values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

// Sums and numbers of something by key.
struct Tally {
  Longs sums, members;

  explicit Tally(size_t size) : sums(size, 0), members(size, 0) {}
  void add(size_t key, int32_t value) {
    sums[key] += value;
    members[key] += 1;
  }
  double mean(size_t key) const {
    return static_cast<double>(sums[key]) / static_cast<double>(std::max<int64_t>(members[key], 1));
  }
  int64_t rounded_mean(size_t key) const {
    return members[key] ? static_cast<int64_t>(std::nearbyint(mean(key))) : -1;
  }
};

inline Tally tally_of(const Ints& key, const Ints& value) {
  Tally tally(static_cast<size_t>(*std::max_element(key.begin(), key.end())) + 1);
  for (size_t i = 0; i < key.size(); ++i) tally.add(key[i], value[i]);
  return tally;
}

// Beams whose elevations fall into separate groups: first and last bin of each, from below.
struct Groups {
  Longs first, last;

  bool find(const Ints& counts) {
    Longs filled;
    for (int32_t bin = 0; bin < kBins; ++bin) {
      if (counts[bin]) filled.push_back(bin);
    }
    const int64_t widest = gap_between_beams(filled);
    if (!widest) return false;
    Longs members;
    split(filled, counts, widest, members);
    keep_beams(members);
    if (first.size() < kMinRings || first.size() > kMaxBeams) return false;
    int64_t total = 0;
    for (int64_t number : members) total += number;
    if (total < static_cast<int64_t>(4 * first.size())) return false;
    for (size_t i = 1; i < first.size(); ++i) {
      if (first[i] - last[i - 1] <= std::max(last[i] - first[i], last[i - 1] - first[i - 1])) return false;
    }
    return true;
  }

  bool cover(const Ints& counts) const {
    int64_t margin = kBins, outside = 0, total = 0;
    for (size_t i = 1; i < first.size(); ++i) margin = std::min(margin, first[i] - last[i - 1]);
    margin /= 2;
    for (int32_t bin = 0; bin < kBins; ++bin) {
      total += counts[bin];
      if (bin < first.front() - margin || bin > last.back() + margin) outside += counts[bin];
    }
    return static_cast<double>(outside) <= 0.005 * static_cast<double>(total);
  }

 private:
  static int64_t gap_between_beams(const Longs& filled) {
    Longs gaps;
    for (size_t i = 1; i < filled.size(); ++i) gaps.push_back(filled[i] - filled[i - 1]);
    if (gaps.size() < kMinRings - 1) return 0;
    std::sort(gaps.begin(), gaps.end(), [](int64_t a, int64_t b) { return a > b; });
    if (gaps.size() > kMaxBeams + 1) gaps.resize(kMaxBeams + 1);
    double best = 0.0;
    int64_t widest = 0;
    for (size_t i = kMinRings - 2; i < gaps.size(); ++i) {
      const int64_t inner = i + 1 < gaps.size() ? gaps[i + 1] : 1;
      const double contrast = static_cast<double>(gaps[i]) / static_cast<double>(inner);
      if (contrast > best) {
        best = contrast;
        widest = gaps[i];
      }
    }
    return best >= 3.0 ? widest : 0;
  }

  void split(const Longs& filled, const Ints& counts, int64_t widest, Longs& members) {
    for (size_t i = 0; i < filled.size(); ++i) {
      if (i == 0 || filled[i] - filled[i - 1] >= widest) {
        first.push_back(filled[i]);
        last.push_back(filled[i]);
        members.push_back(0);
      }
      last.back() = filled[i];
      members.back() += counts[filled[i]];
    }
  }

  // Small groups are beams only where no beam with more points is too near.
  void keep_beams(Longs& members) {
    const double few = std::max(1.0, 0.02 * static_cast<double>(middle_of(members)));
    Longs large;
    for (size_t i = 0; i < members.size(); ++i) {
      if (static_cast<double>(members[i]) >= few) large.push_back(static_cast<int64_t>(i));
    }
    if (large.size() == members.size()) return;
    int64_t spacing = std::numeric_limits<int64_t>::max();
    for (size_t k = 1; k < large.size(); ++k) spacing = std::min(spacing, first[large[k]] - last[large[k - 1]]);
    Longs kept_first, kept_last, kept_members;
    size_t next = 0;
    for (size_t i = 0; i < members.size(); ++i) {
      while (next < large.size() && large[next] < static_cast<int64_t>(i)) ++next;
      bool keep = next < large.size() && large[next] == static_cast<int64_t>(i);
      if (!keep && large.size() >= kMinRings) {
        int64_t nearest = std::numeric_limits<int64_t>::max();
        if (next < large.size()) nearest = std::min(nearest, first[large[next]] - last[i]);
        if (next > 0) nearest = std::min(nearest, first[i] - last[large[next - 1]]);
        keep = nearest * 4 >= spacing * 3;
      }
      if (!keep) continue;
      kept_first.push_back(first[i]);
      kept_last.push_back(last[i]);
      kept_members.push_back(members[i]);
    }
    first.swap(kept_first);
    last.swap(kept_last);
    members.swap(kept_members);
  }
};

// With distances, groups are found among the farther points only.
inline bool grouped_rings(const Ints& sine, const std::vector<float>* range_m, Ints& ring) {
  Ints counts(kBins, 0);
  for (int32_t value : sine) ++counts[value];
  Groups groups;
  if (range_m) {
    const float near = 0.5f * middle_range(*range_m);
    Ints far(kBins, 0);
    for (size_t i = 0; i < sine.size(); ++i) far[sine[i]] += (*range_m)[i] >= near;
    if (!groups.find(far) || !groups.cover(counts)) return false;
  } else if (!groups.find(counts)) {
    return false;
  }
  const size_t number = groups.first.size();
  Ints ring_of(kBins);
  size_t group = 0;
  for (int32_t bin = 0; bin < kBins; ++bin) {
    while (group + 1 < number && bin >= (groups.last[group] + groups.first[group + 1] + 1) / 2) ++group;
    ring_of[bin] = static_cast<int32_t>(number - 1 - group);
  }
  ring.resize(sine.size());
  for (size_t i = 0; i < sine.size(); ++i) ring[i] = ring_of[sine[i]];
  return true;
}

// Rings of points that come ring by ring.
class RingOrder {
 public:
  RingOrder(const Ints& azimuth, const Ints& sine) : azimuth_(azimuth), sine_(sine) {}

  bool find(Ints& ring) {
    int32_t cut = 0;
    if (!run() || !find_cut(cut)) return false;
    ring.resize(sine_.size());
    const int32_t least = (*std::min_element(run_.begin(), run_.end()) - cut) >> 22;
    for (size_t i = 0; i < ring.size(); ++i) ring[i] = ((run_[i] - cut) >> 22) - least;
    Tally tally = tally_of(ring, sine_);
    if (remove_strays(ring, tally)) tally = tally_of(ring, sine_);
    return put_top_first(ring, tally);
  }

 private:
  static constexpr int32_t kCells = 128, kCell = kTurn / kCells, kFine = kCell / 2, kMargin = 6;

  bool run() {
    const size_t count = azimuth_.size();
    int64_t ahead = 0, back = 0;
    for (size_t i = 0; i + 1 < count; ++i) {
      const int32_t step = step_from(i);
      ahead += step > 0;
      back += step < 0;
    }
    if (static_cast<double>(std::max(ahead, back)) < 0.7 * static_cast<double>(count - 1)) return false;
    const int32_t sense = back > ahead ? -1 : 1;
    constexpr int32_t kLeast = -kMargin * kCell, kMost = (kMaxRings + 2) * kTurn;
    run_.resize(count);
    run_[0] = 0;
    for (size_t i = 0; i + 1 < count; ++i) {
      int32_t step = sense * step_from(i);
      if (step < -(kTurn / 18)) step += kTurn;
      run_[i + 1] = run_[i] + step;
      if (run_[i + 1] < kLeast || run_[i + 1] >= kMost) return false;
    }
    return run_.back() > (kMinRings - 1) * kTurn && run_.back() < (kMaxRings + 1) * kTurn;
  }

  // The step of azimuth to the next point, from half a turn back to half a turn on.
  int32_t step_from(size_t i) const {
    return ((azimuth_[i + 1] - azimuth_[i] + kTurn / 2) & (kTurn - 1)) - kTurn / 2;
  }

  bool find_cut(int32_t& cut) const {
    if (unseen_sector(cut)) return true;
    const int32_t before = (kTurn - run_.back() % kTurn) / kCell + kMargin;
    if (before + kMargin > kCells / 2) return false;
    const int32_t start = -before * kCell;
    Near near;
    Doubles beam;
    divide(start, (before + kMargin) * kCell, near, beam);
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
    if (!steps.most_frequent([](double step) { return step > 0.5 && step < 1.7; }, 0.4, cell)) {
      is_break = true;
      if (!steps.most_frequent([](double step) { return std::fabs(step) > 0.2; }, 0.6, cell)) return false;
    }
    cut = start + static_cast<int32_t>(place_of_cut(near, spacing, cell, is_break));
    return true;
  }

  bool unseen_sector(int32_t& cut) const {
    Ints members(kCells, 0);
    for (int32_t place : run_) ++members[(place >> 15) & (kCells - 1)];
    const double least = 0.02 * static_cast<double>(run_.size()) / kCells;
    Longs seen;
    for (int32_t cell = 0; cell < kCells; ++cell) {
      if (static_cast<double>(members[cell]) >= least) seen.push_back(cell);
    }
    int64_t begin = 0, size = -1;
    for (size_t k = 0; k < seen.size(); ++k) {
      const int64_t next = k + 1 < seen.size() ? seen[k + 1] : seen.front() + kCells;
      if (next - seen[k] - 1 > size) {
        size = next - seen[k] - 1;
        begin = seen[k] + 1;
      }
    }
    const int64_t end = begin + size - 1;
    if (size < 4 || end < ((run_.back() >> 15) & (kCells - 1)) - 1) return false;
    cut = static_cast<int32_t>(((begin + end + 1) * kCell / 2) & (kTurn - 1));
    return true;
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
    Tally tally(static_cast<size_t>(kMaxRings) + 4);
    int32_t highest = -1;
    for (size_t i = 0; i < run_.size(); ++i) {
      const int32_t turn = (run_[i] - start) >> 22, phase = (run_[i] - start) & (kTurn - 1);
      if (phase < width) {
        near.add(turn, phase, sine_[i]);
      } else {
        tally.add(static_cast<size_t>(turn), sine_[i]);
        highest = std::max(highest, turn);
      }
    }
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
    std::vector<Best> best(spacing.size(), {-std::numeric_limits<double>::infinity(), SIZE_MAX});
    for (size_t i = 0; i + 1 < inner.turn.size(); ++i) {
      if (inner.turn[i + 1] != inner.turn[i] || inner.phase[i + 1] <= inner.phase[i]) continue;
      Best& of_turn = best[inner.turn[i]];
      double step = static_cast<double>(inner.sine[i + 1] - inner.sine[i]) / spacing[inner.turn[i]];
      if (is_break) step = std::fabs(step);
      if (step >= of_turn.step) of_turn = {step, i};
    }
    std::vector<std::pair<int64_t, int>> events;
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

  static bool remove_strays(Ints& ring, const Tally& tally) {
    const size_t count = tally.members.size();
    if (count < kMinRings) return false;
    const double few = 0.05 * static_cast<double>(middle_of(tally.members));
    const double spacing = std::fabs(tally.mean(0) - tally.mean(count - 1)) / static_cast<double>(count);
    std::vector<uint8_t> kept(count);
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

  static bool put_top_first(Ints& ring, const Tally& tally) {
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

  const Ints& azimuth_;
  const Ints& sine_;
  Ints run_;
};

}  // namespace hwnas

#endif  // HWNAS_RINGS_H_

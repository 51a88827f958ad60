// Rings of points whose elevations fall into groups, and what rings.h and rows.h share. The functions are those of
// hwnas.range_view.rings, beam_groups, ring_order and rows, which say how they work. All is integer arithmetic, or double
// arithmetic in the same order, so that both give the same rows. Part of range_view.cpp; include range_view.h instead.

#ifndef HWNAS_BEAM_GROUPS_H_
#define HWNAS_BEAM_GROUPS_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <utility>

#include "scratch.h"

namespace hwnas {

constexpr int32_t kSineSteps = 1 << 15;
constexpr int32_t kBins = 2 * kSineSteps;
constexpr int32_t kTurn = 1 << 22;
constexpr int kMinRings = 4, kMaxRings = 128, kMaxBeams = 256;
constexpr size_t kFewestPoints = 4 * kMinRings;

using Ints = Vector<int32_t>;
using PointInts = Room<int32_t>;  // of each point
using Longs = Vector<int64_t>;
using Doubles = Vector<double>;

// Floor of a number that an int32_t can hold; std::floor is a function call on older processors.
inline int32_t whole(float value) {
  const int32_t truncated = static_cast<int32_t>(value);
  return truncated - (value < static_cast<float>(truncated));
}

// Median of some of the distances, the upper one of two.
inline float middle_range(const Room<float>& range_m) {
  const size_t stride = std::max<size_t>(1, range_m.size() / 4096);
  Vector<float> some;
  some.reserve(range_m.size() / stride + 1);
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

// A tally that takes the values of points in their order. Neighbours mostly have the same key, and each of four adds to
// a sum of its own, so that it does not wait for the one before.
class PointTally {
 public:
  explicit PointTally(size_t size) : entries_(kWays * size, {0, 0}) {}
  void add(size_t point, size_t key, int32_t value) {
    Entry& entry = entries_[kWays * key + point % kWays];
    entry.sum += value;
    entry.members += 1;
  }
  Tally sum() const {
    Tally tally(entries_.size() / kWays);
    for (size_t i = 0; i < entries_.size(); ++i) {
      tally.sums[i / kWays] += entries_[i].sum;
      tally.members[i / kWays] += entries_[i].members;
    }
    return tally;
  }

 private:
  static constexpr size_t kWays = 4;
  struct Entry {
    int64_t sum, members;
  };
  Vector<Entry> entries_;
};

// Some numbers next to each other.
struct IntSpan {
  int32_t* first;
  size_t count;

  int32_t* begin() const { return first; }
  int32_t* end() const { return first + count; }
  int32_t& operator[](size_t i) const { return first[i]; }
};

// Of at least one.
template <typename Numbers>
int32_t lowest_of(const Numbers& values) {
  int32_t lowest = *values.begin();
  for (int32_t value : values) lowest = std::min(lowest, value);
  return lowest;
}
template <typename Numbers>
int32_t highest_of(const Numbers& values) {
  int32_t highest = *values.begin();
  for (int32_t value : values) highest = std::max(highest, value);
  return highest;
}

inline Tally tally_of(const PointInts& key, const PointInts& value) {
  PointTally tally(static_cast<size_t>(highest_of(key)) + 1);
  for (size_t i = 0; i < key.size(); ++i) tally.add(i, key[i], value[i]);
  return tally.sum();
}

// Beams whose elevations fall into separate groups: first and last bin of each, from below.
struct Groups {
  Longs first, last;

  bool find(const Ints& counts) {
    PointInts filled(kBins);
    size_t kept = 0;
    for (int32_t bin = 0; bin < kBins; ++bin) {
      filled[kept] = bin;
      kept += counts[bin] != 0;
    }
    filled.resize(kept);
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
  // The largest gaps, from the largest on. Nearly all are small, and only counted.
  static Longs largest_gaps(const PointInts& filled) {
    constexpr int32_t kSmall = 64;
    int64_t members[kSmall] = {};
    Longs gaps;
    for (size_t i = 1; i < filled.size(); ++i) {
      const int32_t gap = filled[i] - filled[i - 1];
      if (gap < kSmall) {
        ++members[gap];
      } else {
        gaps.push_back(gap);
      }
    }
    std::sort(gaps.begin(), gaps.end(), [](int64_t a, int64_t b) { return a > b; });
    for (int32_t gap = kSmall - 1; gap > 0 && gaps.size() <= kMaxBeams; --gap) {
      const int64_t room = kMaxBeams + 1 - static_cast<int64_t>(gaps.size());
      gaps.insert(gaps.end(), static_cast<size_t>(std::min(members[gap], room)), gap);
    }
    if (gaps.size() > kMaxBeams + 1) gaps.resize(kMaxBeams + 1);
    return gaps;
  }

  static int64_t gap_between_beams(const PointInts& filled) {
    const Longs gaps = largest_gaps(filled);
    if (gaps.size() < kMinRings - 1) return 0;
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

  void split(const PointInts& filled, const Ints& counts, int64_t widest, Longs& members) {
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
inline bool grouped_rings(const PointInts& sine, const Room<float>* range_m, PointInts& ring) {
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

}  // namespace hwnas

#endif  // HWNAS_BEAM_GROUPS_H_

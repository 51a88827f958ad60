#include "grids.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "../rows.h"
#include "numbers.h"

namespace hwnas::runtime {
namespace {

constexpr int64_t kFewestColumns = 16, kBlocks = 16, kBlock = 512;
constexpr double kLeastExplained = 0.9, kLeastExplainedOfStated = 0.8;

// A way in which points may lie in a grid: ring by ring, `per_ring` each, or column by column if that is 0.
struct Layout {
  int64_t num_rings = 0, per_ring = 0;

  int32_t ring_at(int64_t place) const {
    return static_cast<int32_t>(per_ring ? place / per_ring : place % num_rings);
  }
};

// Places of a few blocks of neighbours, spread evenly; all where these are few.
Vector<int64_t> blocks(int64_t count) {
  Vector<int64_t> places;
  if (count <= kBlocks * kBlock) {
    places.resize(static_cast<size_t>(count));
    std::iota(places.begin(), places.end(), 0);
    return places;
  }
  for (double start : linspace(0.0, static_cast<double>(count - kBlock), kBlocks)) {
    for (int64_t i = 0; i < kBlock; ++i) places.push_back(static_cast<int64_t>(start) + i);
  }
  return places;
}

// Points far enough that their elevation is that of their beam.
struct FarPoints {
  Vector<int64_t> place;
  Vector<double> elevation;
};

double explained(const FarPoints& far, const Vector<int64_t>& some, const Layout& layout) {
  Tally tally(static_cast<size_t>(layout.num_rings));
  double sum = 0.0;
  for (int64_t i : some) {
    const double elevation = far.elevation[static_cast<size_t>(i)];
    tally.add(static_cast<size_t>(layout.ring_at(far.place[static_cast<size_t>(i)])),
              static_cast<int32_t>(elevation));
    sum += elevation;
  }
  const double mean = sum / static_cast<double>(some.size());
  Vector<double> total(some.size()), within(some.size());
  for (size_t k = 0; k < some.size(); ++k) {
    const auto i = static_cast<size_t>(some[k]);
    const double from_mean = far.elevation[i] - mean;
    const double from_ring = far.elevation[i] - tally.mean(static_cast<size_t>(layout.ring_at(far.place[i])));
    total[k] = from_mean * from_mean;
    within[k] = from_ring * from_ring;
  }
  const double all = pairwise_sum(total.data(), total.size());
  return all != 0.0 ? 1.0 - pairwise_sum(within.data(), within.size()) / all : 0.0;
}

// The number from the top of each ring; false if one is unknown and the order does not tell it.
bool numbers_from_the_top(const FarPoints& far, const Layout& layout, Vector<int32_t>& number) {
  const auto rings = static_cast<size_t>(layout.num_rings);
  Tally tally(rings);
  for (size_t i = 0; i < far.place.size(); ++i) {
    tally.add(static_cast<size_t>(layout.ring_at(far.place[i])), static_cast<int32_t>(far.elevation[i]));
  }
  Vector<size_t> present;
  for (size_t k = 0; k < rings; ++k) {
    if (tally.members[k]) present.push_back(k);
  }
  Vector<double> falls, rises;
  for (size_t k = 1; k < present.size(); ++k) {
    const double step = tally.mean(present[k]) - tally.mean(present[k - 1]);
    if (step < 0) falls.push_back(-step);
    if (step > 0) rises.push_back(step);
  }
  const double fall = pairwise_sum(falls.data(), falls.size()), rise = pairwise_sum(rises.data(), rises.size());
  number.resize(rings);
  if (std::min(fall, rise) * 4 <= std::max(fall, rise)) {
    for (size_t k = 0; k < rings; ++k) number[k] = static_cast<int32_t>(fall >= rise ? k : rings - 1 - k);
    return true;
  }
  if (present.size() < rings) return false;
  std::sort(present.begin(), present.end(), [&](size_t a, size_t b) {
    return tally.mean(a) != tally.mean(b) ? tally.mean(a) > tally.mean(b) : a < b;
  });
  for (size_t k = 0; k < rings; ++k) number[present[k]] = static_cast<int32_t>(k);
  return true;
}

Vector<Layout> layouts(int64_t count, int64_t height, int64_t width) {
  Vector<Layout> found;
  if (height) {
    if (height * width != count) return found;
    for (const Layout layout : {Layout{height, width}, Layout{width, 0}}) {
      if (layout.num_rings >= kMinRings && layout.num_rings <= kMaxRings) found.push_back(layout);
    }
    return found;
  }
  for (int64_t number = kMinRings; number <= kMaxRings; ++number) {
    if (count % number == 0 && count / number >= kFewestColumns) found.push_back({number, 0});
  }
  return found;
}

}  // namespace

bool rings_of_grid(const float* points, int64_t count, Vector<int32_t>& ring, int64_t height, int64_t width) {
  const Directions directions(points, count);
  if (directions.sine.size() < static_cast<size_t>(kMinRings * kFewestColumns)) return false;
  const float near = 0.5f * middle_range(directions.range_m);
  FarPoints far;
  for (size_t i = 0; i < directions.sine.size(); ++i) {
    if (!(directions.range_m[i] >= near)) continue;
    far.place.push_back(directions.index[i]);
    far.elevation.push_back(directions.sine[i]);
  }
  const Vector<int64_t> some = blocks(static_cast<int64_t>(far.place.size()));
  Layout best;
  double most = height ? kLeastExplainedOfStated : kLeastExplained;
  for (const Layout& layout : layouts(count, height, width)) {
    const double share = explained(far, some, layout);
    if (!(share >= most)) continue;
    best = layout;
    most = share;
    if (!height) break;  // twice as many beams would explain as much
  }
  Vector<int32_t> number;
  if (!best.num_rings || !numbers_from_the_top(far, best, number)) return false;
  ring.resize(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    ring[static_cast<size_t>(i)] = number[static_cast<size_t>(best.ring_at(i))];
  }
  return true;
}

bool are_rows_confirmed(const float* points, int64_t count, const int32_t* row, const int32_t* beams,
                        int32_t num_beams) {
  const auto rows = static_cast<size_t>(num_beams);
  Vector<uint8_t> is_claimed(rows, 0);
  for (int64_t i = 0; i < count; ++i) {
    if (has_direction(points + 3 * i)) is_claimed[static_cast<size_t>(row[i])] = 1;
  }
  if (std::find(is_claimed.begin(), is_claimed.end(), 0) == is_claimed.end()) return true;
  const Directions directions(points, count);
  if (directions.sine.empty()) return true;
  Vector<int64_t> edges;
  for (size_t k = 0; k + 1 < rows; ++k) edges.push_back((static_cast<int64_t>(beams[k]) + beams[k + 1] + 1) / 2);
  const float near = 0.25f * middle_range(directions.range_m);
  Vector<int64_t> members(rows, 0), around(rows, 0), agreeing(rows, 0);
  for (size_t i = 0; i < directions.sine.size(); ++i) {
    if (!(directions.range_m[i] >= near)) continue;
    const int64_t above = std::min(directions.sine[i] + 1, kBins - 1);
    // Edges fall from the top beam on: the row is the number of edges that are not below.
    const auto nearest = static_cast<size_t>(
        std::partition_point(edges.begin(), edges.end(), [=](int64_t edge) { return edge >= above; }) -
        edges.begin());
    const auto given = static_cast<size_t>(row[directions.index[i]]);
    ++members[given];
    ++around[nearest];
    agreeing[given] += given == nearest;
  }
  Vector<double> claimed;
  int64_t most_left_out = 0;
  for (size_t k = 0; k < rows; ++k) {
    if (is_claimed[k]) {
      claimed.push_back(static_cast<double>(members[k]));
    } else {
      most_left_out = std::max(most_left_out, around[k]);
    }
  }
  const double usual = median(claimed);
  if (static_cast<double>(most_left_out) > 0.2 * usual) return false;
  for (size_t k = 0; k < rows; ++k) {
    const auto number = static_cast<double>(members[k]);
    if (number >= std::max(1.0, 0.1 * usual) && !(static_cast<double>(agreeing[k]) >= 0.7 * number)) return false;
  }
  return true;
}

}  // namespace hwnas::runtime

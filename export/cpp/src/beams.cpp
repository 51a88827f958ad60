#include <algorithm>
#include <cmath>
#include <numeric>

#include "cloud_geometry.h"
#include "numbers.h"

namespace hwnas::runtime {
namespace {

constexpr double kBinDeg = 0.02, kValley = 0.4, kSigmas = 3.5, kSharpness = 0.6;
constexpr int64_t kBins = 9000;
constexpr size_t kFewestBeams = 4, kPointsPerBeam = 24, kFewestOnRing = 3;

Vector<double> smoothed_histogram(const Vector<float>& elevation_deg) {
  // Two bins more on each side, so that the window needs no edges.
  Vector<double> counts(static_cast<size_t>(kBins) + 4, 0.0);
  for (float elevation : elevation_deg) {
    const auto bin = static_cast<int64_t>((elevation + 90.0f) / static_cast<float>(kBinDeg));
    counts[static_cast<size_t>(std::clamp<int64_t>(bin, 0, kBins - 1)) + 2] += 1.0;
  }
  Vector<double> smooth(static_cast<size_t>(kBins));
  for (size_t i = 0; i < smooth.size(); ++i) {
    smooth[i] = 0.25 * (counts[i] + counts[i + 4]) + 0.75 * (counts[i + 1] + counts[i + 3]) + counts[i + 2];
  }
  return smooth;
}

// Peaks between which the density falls; of those it does not, the highest stays.
Vector<size_t> separated_peaks(const Vector<double>& density) {
  Vector<size_t> chosen;
  for (size_t i = 1; i + 1 < density.size(); ++i) {
    if (!(density[i] >= density[i - 1] && density[i] > density[i + 1] && density[i] >= 3.0)) continue;
    if (!chosen.empty()) {
      const size_t last = chosen.back();
      const auto from = density.begin() + static_cast<std::ptrdiff_t>(last);
      const double valley = *std::min_element(from, density.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      const double lower = std::min(density[last], density[i]);
      if (valley > kValley * lower || lower - valley < kSigmas * std::sqrt(lower)) {
        if (density[i] > density[last]) chosen.back() = i;
        continue;
      }
    }
    chosen.push_back(i);
  }
  return chosen;
}

}  // namespace

std::optional<Beams> beams_of(const Vector<float>& elevation_deg) {
  if (elevation_deg.size() < kFewestBeams * kPointsPerBeam) return std::nullopt;
  const Vector<size_t> peaks = separated_peaks(smoothed_histogram(elevation_deg));
  if (peaks.size() < kFewestBeams) return std::nullopt;
  const size_t count = peaks.size();
  Vector<double> centre, edges;
  for (size_t peak : peaks) centre.push_back((static_cast<double>(peak) + 0.5) * kBinDeg - 90.0);
  for (size_t k = 1; k < count; ++k) edges.push_back(0.5 * (centre[k] + centre[k - 1]));
  Vector<double> distance;
  Vector<int64_t> members(count, 0);
  size_t sharp = 0;
  for (float elevation : elevation_deg) {
    const auto nearest = static_cast<size_t>(
        std::lower_bound(edges.begin(), edges.end(), static_cast<double>(elevation)) - edges.begin());
    const double before = centre[nearest] - (nearest ? centre[nearest - 1] : -90.0);
    const double after = (nearest + 1 < count ? centre[nearest + 1] : 90.0) - centre[nearest];
    distance.push_back(std::fabs(static_cast<double>(elevation) - centre[nearest]));
    sharp += distance.back() < 0.25 * std::min(std::min(before, after), 2.0);
    ++members[nearest];
  }
  // Spread evenly, half of the points would lie within a quarter of the spacing.
  if (static_cast<double>(sharp) / static_cast<double>(elevation_deg.size()) < kSharpness) return std::nullopt;
  Beams beams;
  beams.elevation_deg.assign(centre.rbegin(), centre.rend());
  beams.num_points.assign(members.rbegin(), members.rend());
  beams.spread_deg = median(distance);
  return beams;
}

std::optional<Beams> beams_of_rings(const Vector<float>& elevation_deg, const Vector<int32_t>& ring) {
  Room<uint64_t> order;  // of each point its ring, and its elevation
  order.reserve(ring.size());
  for (size_t i = 0; i < ring.size(); ++i) {
    if (ring[i] >= 0) order.push_back(static_cast<uint64_t>(ring[i]) << 32 | key_of(elevation_deg[i]));
  }
  if (order.empty()) return std::nullopt;
  sort_by_digits(order, [](uint64_t key) { return key; });
  Vector<size_t> start;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i == 0 || order[i] >> 32 != order[i - 1] >> 32) start.push_back(i);
  }
  const size_t rings = start.size();
  start.push_back(order.size());
  // A stray point makes no beam, unless all have few.
  const size_t fewest = order.size() >= kPointsPerBeam * rings ? kFewestOnRing : 1;
  Vector<float> middle, spread;
  Vector<int64_t> members;
  for (size_t k = 0; k < rings; ++k) {
    const size_t count = start[k + 1] - start[k];
    if (count < fewest) continue;
    const auto at = [&](size_t place) { return value_of(static_cast<uint32_t>(order[start[k] + place])); };
    const auto share = [&](double part) { return at(static_cast<size_t>(static_cast<double>(count - 1) * part)); };
    middle.push_back(at(count / 2));
    spread.push_back(0.5f * (share(0.84) - share(0.16)));
    members.push_back(static_cast<int64_t>(count));
  }
  Vector<size_t> top_first(middle.size());
  std::iota(top_first.begin(), top_first.end(), size_t{0});
  std::sort(top_first.begin(), top_first.end(),
            [&](size_t a, size_t b) { return middle[a] != middle[b] ? middle[a] > middle[b] : a < b; });
  Beams beams;
  for (size_t k : top_first) {
    beams.elevation_deg.push_back(middle[k]);
    beams.num_points.push_back(members[k]);
  }
  beams.spread_deg = median(spread);
  beams.are_given = true;
  return beams;
}

}  // namespace hwnas::runtime

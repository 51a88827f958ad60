#include <algorithm>
#include <cmath>
#include <limits>

#include "geometry_checks.h"
#include "numbers.h"
#include "text.h"

namespace hwnas::runtime {
namespace {

constexpr double kBeamsOff = 2.5, kBeamsOffShare = 0.03;
constexpr size_t kNeighbours = 4;
constexpr double kSurprise = 20.0, kSurprisePerBeam = 0.5, kPointsPerUngivenBeam = 60.0;
constexpr double kFewestWithoutBeams = 2000.0;
constexpr double kClearSpread = 0.2, kMediansSpread = 0.5;
// Points spread evenly would lie there to one half.
constexpr double kBetweenBeams = 0.25;

Vector<double> growing(const std::vector<double>& top_first) { return {top_first.rbegin(), top_first.rend()}; }

double median_spacing(const Vector<double>& elevation) {
  Vector<double> steps;
  for (size_t k = 1; k < elevation.size(); ++k) steps.push_back(elevation[k] - elevation[k - 1]);
  return median(steps);
}

std::string described(size_t count, double top, double bottom) {
  return std::to_string(count) + format(" beams from %.1f to %.1f degrees", top, bottom);
}

std::string described(const std::vector<double>& beams) {
  return described(beams.size(), beams.front(), beams.back());
}

// Beams where both the expected and the found ones see something; elevations grow.
struct Overlap {
  Vector<double> usual, found, counts, around;
  Vector<uint8_t> is_empty;

  // Points that expected beams should have, as their neighbours do, and have not.
  double surprise() const {
    Vector<double> missing;
    for (size_t k = 0; k < around.size(); ++k) {
      if (is_empty[k]) missing.push_back(around[k]);
    }
    return pairwise_sum(missing.data(), missing.size());
  }

  // How far the numbers of beams come apart going up; beams that happen to have no points left out.
  double off() const {
    Vector<double> seen, steps(found);
    for (size_t k = 0; k < usual.size(); ++k) {
      if (counts[k] > 0 || around[k] >= kPointsPerBeam / 2) seen.push_back(usual[k]);
    }
    steps.insert(steps.end(), seen.begin(), seen.end());
    std::ptrdiff_t most = 0;
    for (double step : steps) {
      const auto of_found = std::upper_bound(found.begin(), found.end(), step) - found.begin();
      const auto of_usual = std::upper_bound(seen.begin(), seen.end(), step) - seen.begin();
      most = std::max(most, std::abs(of_found - of_usual));
    }
    return static_cast<double>(most);
  }
};

// For each expected beam the mean number of points of its neighbours.
Vector<double> means_around(const Vector<double>& counts) {
  Vector<double> around(counts.size(), 0.0);
  for (size_t k = 0; k < counts.size(); ++k) {
    const size_t first = k < kNeighbours ? 0 : k - kNeighbours, last = std::min(counts.size() - 1, k + kNeighbours);
    double sum = 0.0;
    for (size_t near = first; near <= last; ++near) sum += near == k ? 0.0 : counts[near];
    around[k] = sum / std::max<double>(1.0, static_cast<double>(last - first));
  }
  return around;
}

Overlap overlap_of(const Vector<double>& usual, const Beams& beams, double slack_deg) {
  const double slack = 0.75 * median_spacing(usual);
  const Vector<double>& elevation = beams.elevation_deg;
  const double low = std::max(usual.front(), elevation.back()) - slack;
  const double high = std::min(usual.back(), elevation.front()) + slack;
  Overlap overlap;
  Vector<double> points;
  for (double beam : usual) {
    if (beam >= low && beam <= high) overlap.usual.push_back(beam);
  }
  for (size_t k = elevation.size(); k-- > 0;) {
    if (!(elevation[k] >= low && elevation[k] <= high)) continue;
    overlap.found.push_back(elevation[k]);
    points.push_back(static_cast<double>(beams.num_points[k]));
  }
  const Vector<double>& expected = overlap.usual;
  overlap.counts.assign(expected.size(), 0.0);
  overlap.around.assign(expected.size(), 0.0);
  overlap.is_empty.assign(expected.size(), 0);
  if (expected.empty() || overlap.found.empty()) return overlap;
  Vector<double> edges;
  for (size_t k = 1; k < expected.size(); ++k) edges.push_back(0.5 * (expected[k] + expected[k - 1]));
  for (size_t k = 0; k < points.size(); ++k) {
    const auto nearest = std::lower_bound(edges.begin(), edges.end(), overlap.found[k]) - edges.begin();
    overlap.counts[static_cast<size_t>(nearest)] += points[k];
  }
  overlap.around = means_around(overlap.counts);
  for (size_t k = 0; k < expected.size(); ++k) {
    double apart = std::numeric_limits<double>::infinity();
    for (double beam : overlap.found) apart = std::min(apart, std::fabs(expected[k] - beam));
    const double before = k ? expected[k] - expected[k - 1] : 1e3;
    const double after = k + 1 < expected.size() ? expected[k + 1] - expected[k] : 1e3;
    overlap.is_empty[k] = overlap.counts[k] == 0 && apart > 0.5 * std::min(before, after) + slack_deg;
  }
  return overlap;
}

}  // namespace

bool are_other_beams(const Beams& beams, const GeometryExpectations& expects) {
  if (expects.beam_elevation_deg.empty()) return false;
  const Vector<double> usual = growing(expects.beam_elevation_deg);
  const double spread = std::max(beams.spread_deg, expects.beam_spread_deg), spacing = median_spacing(usual);
  // Of few points of a beam that scatters, the median may be nearer to a neighbour of that beam.
  const bool do_overlap = spread >= kClearSpread * spacing;
  const Overlap overlap = overlap_of(usual, beams, do_overlap ? kMediansSpread * spread : 0.0);
  const auto most = static_cast<double>(std::max(overlap.usual.size(), overlap.found.size()));
  // Where beams scatter, or all are tilted by a few degrees, one is found that much away from where it is.
  const double allowed = kBeamsOff + kBeamsOffShare * most + spread / spacing;
  const double points = std::trunc(pairwise_sum(overlap.counts.data(), overlap.counts.size()));
  const bool is_dense = points >= kPointsPerBeam * most;
  const double surplus = static_cast<double>(overlap.found.size()) - static_cast<double>(overlap.usual.size());
  if ((is_dense && overlap.off() > allowed) || surplus > allowed) return true;
  return !is_dense &&
         overlap.surprise() > kSurprise + kSurprisePerBeam * static_cast<double>(overlap.usual.size());
}

std::optional<Finding> check_beams(const CloudGeometry& found, const GeometryExpectations& expects) {
  const std::vector<double>& usual = expects.beam_elevation_deg;
  if (usual.empty()) return std::nullopt;
  if (!found.beams) {
    const bool are_clear = expects.beam_spread_deg < kClearSpread * median_spacing(growing(usual));
    if (!are_clear ||
        static_cast<double>(found.num_points) < kPointsPerUngivenBeam * static_cast<double>(usual.size())) {
      return std::nullopt;
    }
    return Finding{"its points lie on no beams that could be told apart, expected " + described(usual), kOtherSensor};
  }
  if (!are_other_beams(*found.beams, expects)) return std::nullopt;
  const Vector<double>& beams = found.beams->elevation_deg;
  return Finding{"it has " + described(beams.size(), beams.front(), beams.back()) + ", expected " + described(usual),
                 kOtherSensor};
}

std::optional<Finding> between_beams(const Vector<float>& elevation_deg, const GeometryExpectations& expects) {
  if (expects.beam_elevation_deg.empty() || elevation_deg.size() < kFewestForChecks) return std::nullopt;
  const Vector<double> usual = growing(expects.beam_elevation_deg);
  // Neighbouring beams overlap, so that points lie everywhere.
  if (expects.beam_spread_deg >= kClearSpread * median_spacing(usual)) return std::nullopt;
  const size_t count = usual.size();
  Vector<double> edges;
  for (size_t k = 1; k < count; ++k) edges.push_back(0.5 * (usual[k] + usual[k - 1]));
  size_t between = 0;
  for (float value : elevation_deg) {
    const auto elevation = static_cast<double>(value);
    const auto k = static_cast<size_t>(std::lower_bound(edges.begin(), edges.end(), elevation) - edges.begin());
    const double above = k + 1 < count ? usual[k + 1] - usual[k] : usual[k] - usual[k - 1];
    const double below = k ? usual[k] - usual[k - 1] : usual[1] - usual[0];
    between += std::fabs(elevation - usual[k]) > 0.25 * std::min(std::min(above, below), 2.0);
  }
  const double share = static_cast<double>(between) / static_cast<double>(elevation_deg.size());
  if (share <= kBetweenBeams) return std::nullopt;
  return Finding{format("%.0f%% of its points lie between the expected ", share * 100.0) +
                     described(expects.beam_elevation_deg),
                 kOtherSensor, true, Basis::kBeams};
}

bool is_sparse(size_t num_points, const GeometryExpectations& expects) {
  const std::vector<double>& beams = expects.beam_elevation_deg;
  const double fewest = beams.empty() ? kFewestWithoutBeams
                                      : std::max(static_cast<double>(kFewestForChecks),
                                                 kPointsPerBeam * static_cast<double>(beams.size()));
  return static_cast<double>(num_points) < fewest;
}

}  // namespace hwnas::runtime

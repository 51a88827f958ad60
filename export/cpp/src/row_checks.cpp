#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <iterator>

#include "geometry_checks.h"
#include "text.h"

namespace hwnas::runtime {
namespace {

// Right rings of real scans stay below 0.6, rings one off begin at 0.74 (docs/results/given_rings.md).
constexpr double kMostOff = 0.65;
constexpr size_t kFewestOfQuadrant = 200;
// A row with fewer points than the usual one by more than this factor has stray points at best.
constexpr int64_t kFewOfRow = 10;
constexpr const char* kRemedy = "Give the ring of each point, with the number of its beam.";

// Whether every row has points, and not only stray ones.
bool are_all_seen(const Vector<int64_t>& members) {
  Vector<int64_t> some;
  std::copy_if(members.begin(), members.end(), std::back_inserter(some), [](int64_t count) { return count > 0; });
  const auto middle = some.begin() + static_cast<std::ptrdiff_t>(some.size() / 2);
  std::nth_element(some.begin(), middle, some.end());
  return kFewOfRow * *std::min_element(members.begin(), members.end()) >= *middle;
}

// How far each row's neighbours are away, on average.
Vector<double> spacings_of(const std::vector<double>& usual) {
  const size_t last = usual.size() - 1;
  Vector<double> spacing(usual.size());
  for (size_t k = 0; k <= last; ++k) {
    const double below = k < last ? usual[k] - usual[k + 1] : usual[last - 1] - usual[last];
    const double above = k ? usual[k - 1] - usual[k] : usual[0] - usual[1];
    spacing[k] = 0.5 * (below + above);
  }
  return spacing;
}

// By how many beams points lie above those of their rows; nothing where a quadrant is missing.
std::optional<double> beams_off(const Cloud& cloud, const Vector<int32_t>& row, const std::vector<double>& usual) {
  const Vector<double> spacing = spacings_of(usual);
  const Vector<float> elevation = elevations_of(cloud);
  std::array<Vector<double>, 4> off;
  for (size_t i = 0; i < cloud.count; ++i) {
    const auto k = static_cast<size_t>(row[i]);
    const size_t quadrant = 2 * (cloud[i][0] >= 0) + (cloud[i][1] >= 0);
    off[quadrant].push_back((static_cast<double>(elevation[i]) - usual[k]) / spacing[k]);
  }
  double total = 0.0;
  for (Vector<double>& inside : off) {
    if (inside.size() < kFewestOfQuadrant) return std::nullopt;
    const auto middle = inside.begin() + static_cast<std::ptrdiff_t>(inside.size() / 2);
    std::nth_element(inside.begin(), middle, inside.end());
    total += *middle;
  }
  return total / 4;
}

}  // namespace

std::optional<Finding> check_rows(const Cloud& cloud, const std::vector<int32_t>& row, size_t num_rows,
                                  const GeometryExpectations& expects) {
  const std::vector<double>& usual = expects.beam_elevation_deg;
  if (usual.empty() || usual.size() != num_rows) return std::nullopt;
  Vector<int64_t> members(num_rows);
  for (size_t i = 0; i < cloud.count; ++i) ++members[static_cast<size_t>(row[i])];
  if (are_all_seen(members)) return std::nullopt;
  Vector<int32_t> far_row;
  const Vector<int64_t> chosen = far_indices(cloud, sample(cloud.count), expects.near_m());
  for (int64_t i : chosen) far_row.push_back(row[static_cast<size_t>(i)]);
  const Vector<float> far = points_of(cloud, chosen);
  const std::optional<double> off = beams_off({far.data(), far_row.size()}, far_row, usual);
  if (!off || std::fabs(*off) <= kMostOff) return std::nullopt;
  return Finding{format("the rings lie %.1f beams %s those of the same rows in the training scans, as where rings "
                        "without points were left out when they were numbered, or the sensor is tilted: points may "
                        "be in rows of other beams",
                        std::fabs(*off), *off > 0 ? "above" : "below"),
                 kRemedy, false};
}

}  // namespace hwnas::runtime

#include <algorithm>
#include <cmath>

#include "expected_ground.h"
#include "geometry_checks.h"
#include "text.h"

namespace hwnas::runtime {
namespace {

constexpr size_t kFewestSectors = 3;
constexpr double kLeastAgreeing = 0.5, kPointsPerBeamOfSector = 24.0;
constexpr double kSpacingFactor = 1.4, kCountFactor = 1.2, kHeightTolerance = 0.1, kMostOfTurn = 0.75;
constexpr double kRadians = 3.14159265358979323846 / 180.0;

bool any_certain(const Findings& findings) {
  return std::any_of(findings.begin(), findings.end(), [](const Finding& finding) { return finding.is_certain; });
}

template <typename IsGone>
void erase(Findings& findings, IsGone is_gone) {
  findings.erase(std::remove_if(findings.begin(), findings.end(), is_gone), findings.end());
}

// Whether beams are those that are expected in most sectors that show any.
bool are_beams_of_sectors(const Cloud& cloud, const CloudGeometry& found, const GeometryExpectations& expects) {
  if (expects.beam_elevation_deg.empty()) return false;
  // With too few points neighbouring beams look like one, and those of any sensor like the expected ones.
  size_t most = expects.beam_elevation_deg.size();
  if (found.beams) most = std::max(most, found.beams->elevation_deg.size());
  size_t sectors = 0, agreeing = 0;
  for (const Beams& beams : sector_beams(cloud, expects.near_m())) {
    int64_t points = 0;
    for (int64_t number : beams.num_points) points += number;
    if (static_cast<double>(points) < kPointsPerBeamOfSector * static_cast<double>(most)) continue;
    ++sectors;
    agreeing += !are_other_beams(beams, expects);
  }
  return sectors >= kFewestSectors &&
         static_cast<double>(agreeing) > kLeastAgreeing * static_cast<double>(sectors);
}

// Points turned about the origin so that the plane is level.
Vector<float> levelled(const Cloud& cloud, const Ground& ground) {
  const double slope_x = -std::tan(ground.pitch_deg * kRadians), slope_y = -std::tan(ground.roll_deg * kRadians);
  const double length = std::sqrt(1.0 + (slope_x * slope_x + slope_y * slope_y));
  const double x = -slope_x / length, y = -slope_y / length, z = 1.0 / length;
  // The shortest turn that brings (x, y, z) to z (Rodrigues).
  const double turn[3][3] = {{1.0 - x * x / (1.0 + z), -x * y / (1.0 + z), -x},
                             {-x * y / (1.0 + z), 1.0 - y * y / (1.0 + z), -y},
                             {x, y, z}};
  Vector<float> points(3 * cloud.count);
  for (size_t i = 0; i < cloud.count; ++i) {
    for (size_t axis = 0; axis < 3; ++axis) {
      float sum = 0.0f;
      for (size_t k = 0; k < 3; ++k) sum += cloud[i][k] * static_cast<float>(turn[axis][k]);
      points[3 * i + axis] = sum;
    }
  }
  return points;
}

// Whether a steep plane looks like the ground once the cloud is turned so that it is level.
bool is_ground_below(const Cloud& cloud, const Ground& ground) {
  if (ground.tilt_deg() <= kTiltRefusedDeg) return true;
  if (ground.height <= 0) return false;
  const Pair height(ground.height * (1 - kHeightTolerance), ground.height * (1 + kHeightTolerance));
  const Vector<float> level = levelled(cloud, ground);
  return support_of_ground({level.data(), cloud.count}, height, kMostOfTurn).has_value();
}

std::optional<double> support_overhead(const Cloud& cloud, const Pair& usual) {
  Vector<float> points(cloud.points, cloud.points + 3 * cloud.count);
  for (size_t i = 0; i < cloud.count; ++i) {
    points[3 * i + 1] = -points[3 * i + 1];
    points[3 * i + 2] = -points[3 * i + 2];
  }
  return support_of_ground({points.data(), cloud.count}, usual);
}

// What is wrong if the ground is where it is expected once z or the unit is another one.
std::optional<Finding> other_ground(const Cloud& cloud, const Pair& usual, bool is_overhead) {
  if (is_overhead) {
    return Finding{"the ground is seen above the origin, as if z pointed down; expected " + metres(usual) +
                       " below it",
                   kOtherFrame, true, Basis::kGround};
  }
  for (const Unit& unit : kUnits) {
    const Pair scaled(usual.first * unit.per_metre, usual.second * unit.per_metre);
    if (unit.per_metre == 1.0 || !support_of_ground(cloud, scaled)) continue;
    return Finding{format("the ground lies %.3g to %.3g below it, as if in %s; expected ", scaled.first,
                          scaled.second, unit.name) +
                       metres(usual),
                   kOtherUnit, true, Basis::kGround};
  }
  return std::nullopt;
}

void look_at_ground(const Cloud& cloud, const CloudGeometry& found, const GeometryExpectations& expects,
                    Findings& findings) {
  const auto is_of_ground = [](const Finding& finding) {
    return finding.basis == Basis::kGround || finding.basis == Basis::kRanges;
  };
  const bool is_usual = std::none_of(findings.begin(), findings.end(), is_of_ground) && found.ground;
  if (!expects.ground_height_m || expects.ground_height_m->first <= 0 || is_usual) return;
  const Pair& usual = *expects.ground_height_m;
  const std::optional<double> support = support_of_ground(cloud, usual), overhead = support_overhead(cloud, usual);
  if (support && (!overhead || *support >= *overhead)) {
    erase(findings, is_of_ground);
    return;
  }
  if (found.ground && !is_ground_below(cloud, *found.ground)) {
    for (Finding& finding : findings) finding.is_certain = finding.is_certain && finding.basis != Basis::kGround;
  }
  if (any_certain(findings)) return;
  std::optional<Finding> other = other_ground(cloud, usual, overhead.has_value());
  if (other) findings.insert(findings.begin(), std::move(*other));
}

// Compares how beams lie in sectors where nothing more is known about them.
std::optional<Finding> other_pattern(const Cloud& cloud, const GeometryExpectations& expects) {
  if (!expects.sector_spacing_deg || !expects.sector_beams) return std::nullopt;
  const Pair& usual = *expects.sector_spacing_deg;
  const std::optional<SectorPattern> found = sector_pattern(cloud, expects.near_m());
  if (!found) {
    return Finding{"its beams do not show in sectors either, so that a scan of another sensor would not be noticed",
                   kOtherSensor, false};
  }
  if (!(usual.first / kSpacingFactor <= found->spacing_deg && found->spacing_deg <= usual.second * kSpacingFactor)) {
    return Finding{format("its beams lie %.2f degrees apart, expected ", found->spacing_deg) + degrees(usual),
                   kOtherSensor};
  }
  if (static_cast<double>(found->most) > kCountFactor * static_cast<double>(*expects.sector_beams)) {
    return Finding{"it has " + std::to_string(found->most) + " beams, expected at most " +
                       std::to_string(*expects.sector_beams),
                   kOtherSensor};
  }
  return std::nullopt;
}

}  // namespace

void confirm_findings(const Cloud& cloud, const CloudGeometry& found, const GeometryExpectations& expects,
                bool are_rings_known, Findings& findings) {
  if (cloud.count < kFewestForChecks) return;
  const auto is_of_beams = [](const Finding& finding) { return finding.basis == Basis::kBeams; };
  const bool is_doubtful = std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
    return is_of_beams(finding) && finding.is_certain;
  });
  if (is_doubtful && !are_rings_known && are_beams_of_sectors(cloud, found, expects)) erase(findings, is_of_beams);
  look_at_ground(cloud, found, expects, findings);
  if (any_certain(findings)) return;
  std::optional<Finding> pattern = other_pattern(cloud, expects);
  if (pattern) findings.insert(findings.begin(), std::move(*pattern));
}

}  // namespace hwnas::runtime

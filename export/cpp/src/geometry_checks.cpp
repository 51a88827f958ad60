#include "geometry_checks.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "text.h"

namespace hwnas::runtime {
namespace {

// Quantiles of fewer points than this are those of single points; coarser ones take their place.
constexpr size_t kFewestForEdges = 400, kFewestForLowest = 2000;
// Another specimen of a sensor, and the difference between its data sheet and its calibration.
constexpr double kEdgeWarnedDeg = 3.0, kEdgeRefusedDeg = 6.0;
// The horizon is in every scan; a view that ends below it was cut.
constexpr double kHorizonDeg = -2.0;
// Clouds that were levelled on a slope are tilted against their sensor by a few degrees.
constexpr double kSpreadFactor = 2.0, kSpreadWarnedDeg = 1.5, kSpreadRefusedDeg = 4.5;
constexpr double kOldToleranceDeg = 8.0, kOldRingsOff = 0.15;
constexpr const char* kOtherHand = "Give points with y to the left, in the order in which the sensor measures them.";

using Found = std::optional<Finding>;

const char* way(bool is_left) { return is_left ? "to the left" : "to the right"; }

std::string span(const Pair& pair, const char* unit) {
  const std::string low = format("%.3g", pair.first), high = format("%.3g", pair.second);
  return (low == high ? low : low + " to " + high) + " " + unit;
}

std::optional<Pair> edges_of(const CloudGeometry& found) {
  if (!found.elevation_deg || found.num_points < kFewestForChecks) return std::nullopt;
  const auto& quantiles = *found.elevation_deg;
  const bool are_many = found.num_points >= kFewestForEdges;
  return Pair(quantiles[are_many ? 0 : 1], quantiles[are_many ? 6 : 5]);
}

Found check_spread(const CloudGeometry& found, const GeometryExpectations& expects) {
  if (!found.beams || !found.beams->are_given) return std::nullopt;
  const double usual = kSpreadFactor * expects.beam_spread_deg, spread = found.beams->spread_deg;
  if (spread <= usual + kSpreadWarnedDeg) return std::nullopt;
  return Finding{format("the elevation of a beam scatters by %.1f degrees, expected at most %.1f, as if the origin "
                        "or the axes were not those of the sensor",
                        spread, expects.beam_spread_deg),
                 kOtherFrame, spread > usual + kSpreadRefusedDeg};
}

Found check_upper_edge(const CloudGeometry& found, const GeometryExpectations& expects) {
  const std::optional<Pair> edges = edges_of(found);
  if (!edges) return std::nullopt;
  const double upper = edges->second;
  const Pair& usual = expects.upper_edge_deg;
  const double beyond = upper - usual.second;
  const auto seen = [=] { return format("points are seen up to %.1f degrees of elevation", upper); };
  if (beyond > kEdgeWarnedDeg) {
    return Finding{seen() + ", expected " + degrees(usual), kOtherSensor, beyond > kEdgeRefusedDeg};
  }
  if (usual.first - upper <= kEdgeWarnedDeg) return std::nullopt;
  const double lowest = expects.edges_deg(found.azimuth_coverage).second;
  const bool is_cut = upper < std::min(kHorizonDeg, lowest - kEdgeWarnedDeg);
  const bool is_part = found.azimuth_coverage < 0.9 * expects.azimuth_coverage.first;
  if (!is_cut && (is_part || found.num_points < kFewestForEdges)) return std::nullopt;
  return Finding{seen() + " only, expected " + degrees(usual), kOtherSensor, is_cut};
}

Found check_lower_edge(const CloudGeometry& found, const GeometryExpectations& expects) {
  const std::optional<Pair> edges = edges_of(found);
  if (!edges) return std::nullopt;
  const double lower = edges->first;
  const Pair& usual = expects.lower_edge_deg;
  const double beyond = usual.first - lower;
  const auto seen = [=] { return format("points are seen down to %.1f degrees of elevation", lower); };
  if (beyond > kEdgeWarnedDeg) {
    return Finding{seen() + ", expected " + degrees(usual), kOtherSensor, beyond > kEdgeRefusedDeg};
  }
  if (lower - usual.second <= kEdgeWarnedDeg) return std::nullopt;
  // The lowest beams are few and lie apart; of few points hardly any come from them.
  const double slack = found.num_points >= kFewestForLowest ? kEdgeWarnedDeg : 1.5 * kEdgeWarnedDeg;
  const bool is_cut = lower > expects.edges_deg(found.azimuth_coverage).first + slack;
  if (found.num_points < kFewestForEdges && !(is_cut && lower > kHorizonDeg)) return std::nullopt;
  return Finding{seen() + " only, expected " + degrees(usual), kOtherSensor, is_cut};
}

Finding mirrored(const char* basis, bool is_left) {
  return {std::string("by ") + basis + " the points run round the sensor " + way(is_left) +
              " (seen from above), expected " + way(!is_left) + ": the scan seems to be mirrored",
          kOtherHand};
}

Found check_turn(const CloudGeometry& found, const GeometryExpectations& expects) {
  if (found.is_left_in_time && expects.is_left_in_time) {
    if (*found.is_left_in_time == *expects.is_left_in_time) return std::nullopt;
    return mirrored("their times", *found.is_left_in_time);
  }
  if (!expects.turn || !found.turn) {
    return Finding{"the order of its points does not show which way the sensor turns, so that a mirrored scan would "
                   "not be noticed",
                   kOtherHand, false};
  }
  const Turn &turn = *found.turn, &usual = *expects.turn;
  if (turn.is_by_column == usual.is_by_column) {
    if (turn.is_left == usual.is_left) return std::nullopt;
    return mirrored("their order", turn.is_left);
  }
  // Files sorted by ring may run either way, whatever that of the sensor, so that the two do not compare.
  return Finding{std::string("its points come ") + turn.order() + " and run round the sensor " + way(turn.is_left) +
                     ", those of the training came " + usual.order() + " and ran " + way(usual.is_left) +
                     ": a mirrored scan would not be noticed",
                 kOtherHand, false};
}

Findings findings_of(const CloudGeometry& found, const GeometryExpectations& expects) {
  using Check = Found (*)(const CloudGeometry&, const GeometryExpectations&);
  static constexpr std::pair<Check, Basis> kChecks[] = {
      {check_unit, Basis::kGround},     {check_ranges, Basis::kRanges},   {check_height, Basis::kGround},
      {check_tilt, Basis::kGround},     {check_spread, Basis::kElse},     {check_beams, Basis::kBeams},
      {check_upper_edge, Basis::kElse}, {check_lower_edge, Basis::kElse}, {check_turn, Basis::kElse},
  };
  Findings findings;
  for (const bool is_certain : {true, false}) {  // the surest first
    for (const auto& [check, basis] : kChecks) {
      Found finding = check(found, expects);
      if (!finding || finding->is_certain != is_certain) continue;
      finding->basis = basis;
      findings.push_back(std::move(*finding));
    }
  }
  return findings;
}

// In what a scan differs from the expectations of a bundle that says little about geometry.
Findings findings_of_old_bundle(const CloudGeometry& found, const ScanExpectations& expects) {
  Findings findings;
  findings.push_back({"the bundle was exported before bundles described beams, ground and sense of the turn, so "
                      "other sensors may pass",
                      "Export it again.", false});
  const auto [upper, lower] = expects.field_of_view_deg;
  const std::optional<Pair> edges = edges_of(found);
  if (edges && (edges->second > upper + kOldToleranceDeg || edges->first < lower - kOldToleranceDeg)) {
    findings.push_back({format("points are seen from %.1f down to %.1f degrees of elevation, expected %.1f to %.1f",
                               edges->second, edges->first, upper, lower),
                        kOtherSensor});
  }
  const std::optional<double> height = height_of(found.ground);
  if (height && expects.sensor_height_m) {
    const double usual = *expects.sensor_height_m;
    if (!(0.5 * usual <= *height && *height <= 2.0 * usual)) {
      findings.push_back({format("the ground lies %.2f m below the origin, expected %g m", *height, usual),
                          kOtherMounting});
    }
  }
  if (!found.beams || !found.beams->are_given || !expects.rings) return findings;
  const auto number = static_cast<double>(found.beams->elevation_deg.size());
  const auto [fewest, most] = *expects.rings;
  if (static_cast<double>(found.num_points) >= kPointsPerBeam * number &&
      !(static_cast<double>(fewest) * (1 - kOldRingsOff) <= number &&
        number <= static_cast<double>(most) * (1 + kOldRingsOff))) {
    findings.push_back({"it has " + std::to_string(found.beams->elevation_deg.size()) + " rings, expected " +
                            std::to_string(fewest) + " to " + std::to_string(most),
                        kOtherSensor});
  }
  return findings;
}

}  // namespace

std::string metres(const Pair& pair) { return span(pair, "m"); }
std::string degrees(const Pair& pair) { return span(pair, "degrees"); }

Findings findings_of_scan(const CheckedScan& scan, const int32_t* ring, const ScanExpectations& expects) {
  if (scan.count < kFewestForChecks) return {};
  const Cloud cloud{scan.points, scan.count};
  if (!expects.geometry) return findings_of_old_bundle(geometry_of(cloud, ring, nullptr, 0.0), expects);
  const GeometryExpectations& geometry = *expects.geometry;
  const CloudGeometry found = geometry_of(cloud, ring, scan.time, geometry.near_m());
  Findings findings = findings_of(found, geometry);
  if (!ring) {
    const Vector<float> far = far_points(cloud, sample(cloud.count), geometry.near_m());
    Found finding = between_beams(elevations_of({far.data(), far.size() / 3}), geometry);
    if (finding) findings.push_back(std::move(*finding));
  }
  confirm_findings(cloud, found, geometry, ring != nullptr, findings);
  return findings;
}

}  // namespace hwnas::runtime

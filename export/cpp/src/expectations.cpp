#include "expectations.h"

#include <algorithm>
#include <cmath>

#include "deployment.h"
#include "json.h"
#include "text.h"

namespace hwnas::runtime {
namespace {

constexpr std::array<double, 4> kSectorsDeg = {60.0, 120.0, 180.0, 240.0};
constexpr double kWholeTurn = 0.9;
constexpr size_t kMostBeams = 1024;

[[noreturn]] void wrong(const std::string& message) { throw StatementError("ValueError", message); }

Pair two_of(const Json& value) {
  const std::vector<double> numbers = numbers_of(value);
  if (numbers.size() != 2) wrong(repr(value) + " are not two numbers");
  return {numbers[0], numbers[1]};
}

Pair pair_of(const Json& value) {
  const Pair pair = two_of(value);
  if (pair.first > pair.second) wrong(repr(value) + " are not the least and the most of something");
  return pair;
}

std::pair<int64_t, int64_t> counts_of(const Json& value) {
  const Pair pair = two_of(value);
  if (!(0 < pair.first && pair.first <= pair.second && pair.second < 1099511627776.0)) {
    wrong(repr(value) + " are not the least and the most of something");
  }
  return {static_cast<int64_t>(pair.first), static_cast<int64_t>(pair.second)};
}

// A member that bundles of older versions lack, or that is null; null for either.
const Json* stated(const Json& value, const char* key) {
  const Json* found = find(value, key);
  return found && !found->is_null() ? found : nullptr;
}

std::vector<double> beams_of(const Json& value) {
  std::vector<double> beams = numbers_of(value);
  const auto rises = [](double a, double b) { return !(b < a); };
  const bool falls = std::adjacent_find(beams.begin(), beams.end(), rises) == beams.end();
  if (beams.size() < 2 || beams.size() > kMostBeams || !falls) {
    wrong("beam_elevation_deg does not fall from the top beam to the bottom one");
  }
  return beams;
}

Turn turn_of(const Json& value) {
  const Json &is_left = member_of(value, "is_left"), &order = member_of(value, "order");
  if (!is_left.is_boolean() || (order != "ring-by-ring" && order != "column-by-column")) {
    wrong(repr(value) + " is no sense of a turn");
  }
  return {is_left.get<bool>(), order == "column-by-column"};
}

GeometryExpectations geometry_of(const Json& value) {
  const auto given = [&](const char* key) {
    member_of(value, key);  // which must be there, but may be null
    return stated(value, key);
  };
  GeometryExpectations found;
  const Json *beams = given("beam_elevation_deg"), *height = given("ground_height_m"),
             *tilt = given("ground_tilt_deg"), *turn = given("turn");
  if (beams) found.beam_elevation_deg = beams_of(*beams);
  found.beam_spread_deg = number_of(member_of(value, "beam_spread_deg"));
  found.lower_edge_deg = pair_of(member_of(value, "lower_edge_deg"));
  found.upper_edge_deg = pair_of(member_of(value, "upper_edge_deg"));
  const Json& sectors = member_of(value, "sector_edges");
  if (!sectors.is_array() || sectors.size() != kSectorsDeg.size()) {
    wrong("there must be edges of 4 sectors, but there are " + std::to_string(sectors.size()));
  }
  std::transform(sectors.begin(), sectors.end(), found.sector_edges.begin(), two_of);
  found.azimuth_coverage = pair_of(member_of(value, "azimuth_coverage"));
  found.median_range_m = pair_of(member_of(value, "median_range_m"));
  found.far_range_m = pair_of(member_of(value, "far_range_m"));
  if (height) found.ground_height_m = pair_of(*height);
  if (tilt) found.ground_tilt_deg = number_of(*tilt);
  if (turn) found.turn = turn_of(*turn);
  if (const Json* spacing = stated(value, "sector_spacing_deg")) found.sector_spacing_deg = pair_of(*spacing);
  if (const Json* most = stated(value, "sector_beams")) {
    if (!most->is_number_integer() || most->get<int64_t>() < 1) wrong(repr(*most) + " is no number of beams");
    found.sector_beams = most->get<int64_t>();
  }
  if (const Json* is_left = stated(value, "is_left_in_time")) {
    if (!is_left->is_boolean()) wrong(repr(*is_left) + " is neither true nor false");
    found.is_left_in_time = is_left->get<bool>();
  }
  return found;
}

IntensityExpectations intensities_of(const Json& value) {
  IntensityExpectations found;
  const Json& percentiles = member_of(value, "percentiles");
  if (!percentiles.is_array() || percentiles.size() != found.percentiles.size()) {
    wrong("there must be 5 percentiles, but there are " + std::to_string(percentiles.size()));
  }
  std::transform(percentiles.begin(), percentiles.end(), found.percentiles.begin(), pair_of);
  found.least_spread = number_of(member_of(value, "least_spread"));
  return found;
}

}  // namespace

Pair GeometryExpectations::edges_deg(double coverage) const {
  const double lower = lower_edge_deg.second, upper = upper_edge_deg.first;
  if (coverage >= kWholeTurn * azimuth_coverage.first) return {lower, upper};
  size_t widest = 0;
  for (size_t i = 0; i < kSectorsDeg.size(); ++i) {
    if (kSectorsDeg[i] <= 360 * coverage) widest = i;
  }
  return {std::max(lower, sector_edges[widest].first), std::min(upper, sector_edges[widest].second)};
}

ScanExpectations read_expectations(const Json& value) {
  ScanExpectations found;
  const std::string order = text_of(member_of(value, "point_order"));
  const Json &rings = member_of(value, "rings"), &height = member_of(value, "sensor_height_m");
  if (order != "ring-field" && order != "ring-by-ring" && order != "any") {
    wrong("the point order is " + repr(order) +
          ", not one of ('ring-field', 'ring-by-ring', 'any')");
  }
  found.is_any_order = order == "any";
  found.sensor = text_of(member_of(value, "sensor"));
  member_of(value, "frame");
  found.intensity_range = two_of(member_of(value, "intensity_range"));
  found.intensity_p99 = number_of(member_of(value, "intensity_p99"));
  if (!rings.is_null()) found.rings = counts_of(rings);
  found.field_of_view_deg = two_of(member_of(value, "field_of_view_deg"));
  if (!height.is_null()) found.sensor_height_m = number_of(height);
  counts_of(member_of(value, "points"));
  whole_number_of(member_of(value, "num_scans"));
  if (const Json* geometry = stated(value, "geometry")) found.geometry = geometry_of(*geometry);
  if (const Json* intensities = stated(value, "intensities")) found.intensities = intensities_of(*intensities);
  // The stated height of the sensor stands in where training scans did not show it.
  if (found.geometry && found.sensor_height_m && !found.geometry->ground_height_m) {
    found.geometry->ground_height_m = Pair(*found.sensor_height_m, *found.sensor_height_m);
  }
  return found;
}

}  // namespace hwnas::runtime

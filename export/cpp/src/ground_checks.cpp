#include <cmath>
#include <string_view>

#include "geometry_checks.h"
#include "text.h"

namespace hwnas::runtime {
namespace {

constexpr double kClearSupport = 0.25, kPoorSupport = 0.12;
constexpr double kHeightRefused = 0.4, kHeightWarned = 0.2, kHeightSlackM = 0.1, kTiltWarnedDeg = 8.0;
// What is seen may end at a wall nearby, but no network is trained in a field and used in a cupboard.
constexpr double kFartherFactor = 2.5, kNearerFactor = 20.0;
constexpr double kUnitTolerance = 0.3;

// The unit that a length seems to be in; null if none explains it.
const char* unit_of(double found, double expected_m) {
  if (found <= 0 || expected_m <= 0) return nullptr;
  const char* nearest = nullptr;
  double least = 0.0;
  for (const Unit& unit : kUnits) {
    const double error = std::fabs(found / unit.per_metre / expected_m - 1.0);
    if (!nearest || error < least) {
      nearest = unit.name;
      least = error;
    }
  }
  return least <= kUnitTolerance ? nearest : nullptr;
}

}  // namespace

std::optional<Finding> check_unit(const CloudGeometry& found, const GeometryExpectations& expects) {
  const std::optional<double> height = height_of(found.ground);
  if (!height || !expects.ground_height_m || !(expects.ground_height_m->first > 0)) return std::nullopt;
  const Pair& usual = *expects.ground_height_m;
  const char* unit = unit_of(*height, 0.5 * (usual.first + usual.second));
  if (!unit || std::string_view(unit) == "metres") return std::nullopt;
  return Finding{format("the ground lies %.4g below it, as if in %s; expected ", *height, unit) + metres(usual),
                 kOtherUnit};
}

std::optional<Finding> check_ranges(const CloudGeometry& found, const GeometryExpectations& expects) {
  if (!found.range_quantiles) return std::nullopt;
  const double middle = (*found.range_quantiles)[1], far = (*found.range_quantiles)[3];
  if (!(far > kFartherFactor * expects.far_range_m.second || far < expects.far_range_m.first / kNearerFactor)) {
    return std::nullopt;
  }
  return Finding{format("the points are %.3g away (median; 99 percent within %.3g), expected ", middle, far) +
                     metres(expects.median_range_m) + " (" + metres(expects.far_range_m) + ")",
                 kOtherUnit};
}

std::optional<Finding> check_height(const CloudGeometry& found, const GeometryExpectations& expects) {
  const std::optional<Ground>& ground = found.ground;
  if (!expects.ground_height_m || !(expects.ground_height_m->first > 0) || !ground ||
      ground->support < kPoorSupport) {
    return std::nullopt;
  }
  const Pair& usual = *expects.ground_height_m;
  for (const double share : {kHeightRefused, kHeightWarned}) {
    const double low = (1 - share) * usual.first - kHeightSlackM, high = (1 + share) * usual.second + kHeightSlackM;
    if (low <= ground->height && ground->height <= high) continue;
    const std::string text =
        ground->height < 0
            ? format("the ground lies %.2f m above the origin, expected ", -ground->height) + metres(usual) +
                  " below it"
            : format("the ground lies %.2f m below the origin, expected ", ground->height) + metres(usual);
    return Finding{text, kOtherMounting, share == kHeightRefused && ground->support >= kClearSupport};
  }
  return std::nullopt;
}

std::optional<Finding> check_tilt(const CloudGeometry& found, const GeometryExpectations& expects) {
  const std::optional<Ground>& ground = found.ground;
  if (!ground || !expects.ground_tilt_deg || ground->support < kPoorSupport) return std::nullopt;
  const double tilt = ground->tilt_deg(), usual = *expects.ground_tilt_deg;
  if (tilt <= kTiltWarnedDeg + usual) return std::nullopt;
  return Finding{format("the ground is tilted by %.0f degrees (roll %.0f, pitch %.0f), expected at most %.0f", tilt,
                        ground->roll_deg, ground->pitch_deg, usual),
                 kOtherFrame, tilt > kTiltRefusedDeg + 0.5 * usual && ground->support >= kClearSupport};
}

std::optional<double> height_of(const std::optional<Ground>& ground) {
  if (!ground || ground->support < kPoorSupport) return std::nullopt;
  return ground->height;
}

}  // namespace hwnas::runtime

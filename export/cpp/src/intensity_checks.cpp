#include "intensity_checks.h"

#include <algorithm>

#include "text.h"

namespace hwnas::runtime {
namespace {

// Rain and distance darken scans; little brightens them.
constexpr double kBrighter = 1.3, kDarker = 1.65;
constexpr double kNarrower = 3.0;
// Nothing is said of how dark the darkest points are: they are rounded, or zero where nothing was measured.
constexpr double kDarkOfBright = 32.0, kDarkOfRange = 1024.0;

std::string remedy(const ScanExpectations& expects) {
  return format("Give them as in training, from %g to %g.", expects.intensity_range.first,
                expects.intensity_range.second);
}

}  // namespace

std::string other_scale(const std::array<double, 5>& percentiles, const ScanExpectations& expects) {
  if (!expects.intensities) return {};
  const IntensityExpectations& expected = *expects.intensities;
  const auto [low, high] = expects.intensity_range;
  const double dark =
      std::max((expected.percentiles.back().second - low) / kDarkOfBright, (high - low) / kDarkOfRange);
  if (dark <= 0) return {};
  const double spread = percentiles.back() - percentiles.front();
  if (spread * kNarrower < expected.least_spread) {
    return format("80 of 100 intensities lie within %g of each other; in the scans of ", spread) +
           repr(expects.sensor) +
           format(" that the network was trained on, they were at least %g apart. They seem to be constant, or on "
                  "another scale. ",
                  expected.least_spread) +
           remedy(expects);
  }
  size_t worst = 0;
  double most_off = 1.0;
  for (size_t i = 0; i < percentiles.size(); ++i) {
    const auto [least, most] = expected.percentiles[i];
    const double here = std::max(percentiles[i] - low, dark);
    const double off =
        std::max(here / std::max(most - low, dark) / kBrighter, std::max(least - low, dark) / here / kDarker);
    if (off > most_off) worst = i, most_off = off;
  }
  if (most_off <= 1.0) return {};
  const auto [least, most] = expected.percentiles[worst];
  return format("%g of 100 intensities are at most %g; in the scans of ", kIntensityPercents[worst],
                percentiles[worst]) +
         repr(expects.sensor) +
         format(" that the network was trained on, this limit was %g to %g. They seem to be on another scale (another "
                "calibration, a factor, a gamma curve), or some of them missing. ",
                least, most) +
         remedy(expects);
}

}  // namespace hwnas::runtime

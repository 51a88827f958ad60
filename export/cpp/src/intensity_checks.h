// Warns of intensities on another scale than in training; see hwnas.bundle.runtime.intensity_checks.

#ifndef HWNAS_RUNTIME_SRC_INTENSITY_CHECKS_H_
#define HWNAS_RUNTIME_SRC_INTENSITY_CHECKS_H_

#include <array>
#include <cstddef>
#include <string>

#include "expectations.h"

namespace hwnas::runtime {

constexpr size_t kFewestIntensities = 256;

// How the intensities of a scan differ from those of the training; empty if they do not. percentiles:
// kIntensityPercents of at least kFewestIntensities of them.
std::string other_scale(const std::array<double, 5>& percentiles, const ScanExpectations& expects);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_INTENSITY_CHECKS_H_

// What a scan has otherwise than those that a network was trained on; see hwnas.bundle.runtime.scan_finding.

#ifndef HWNAS_RUNTIME_SRC_SCAN_FINDING_H_
#define HWNAS_RUNTIME_SRC_SCAN_FINDING_H_

#include <cstddef>
#include <string>
#include <vector>

#include "expectations.h"

namespace hwnas::runtime {

constexpr const char* kOtherSensor = "Give scans of that sensor in its own frame, or adapt the network to this one.";
constexpr const char* kOtherFrame =
    "Give points with x forward, y left, z up, in the frame of the sensor, level to a few degrees.";
constexpr const char* kOtherUnit = "Give points in metres.";
constexpr const char* kOtherMounting =
    "Put the origin into the sensor and mount it as in training, or train for this mounting.";
constexpr size_t kFewestForChecks = 64;

// What was estimated to find something.
enum class Basis { kBeams, kGround, kRanges, kElse };

struct Finding {
  std::string text;    // a clause without a full stop
  std::string remedy;  // a sentence
  bool is_certain = true;
  Basis basis = Basis::kElse;
};

using Findings = std::vector<Finding>;  // empty, and without memory of its own, for scans as they should be

// Ranges in words.
std::string metres(const Pair& pair);
std::string degrees(const Pair& pair);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_SCAN_FINDING_H_

#include "scan_checks.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>

#include "../range_view.h"
#include "cloud_geometry.h"
#include "geometry_checks.h"
#include "hwnas_runtime/error.hpp"
#include "intensity_checks.h"
#include "scan_finding.h"
#include "text.h"

namespace hwnas::runtime {
namespace {

constexpr const char* kAlso = " Also: ";
constexpr const char* kHint = " (`check_scans=False` lets a runner label it all the same.)";
// 0..1 and 0..255 are a factor of 255 apart; no weather or scene darkens 99 of 100 points this much.
constexpr double kLargestUnitFactor = 32.0, kUnusualFactor = 8.0;
constexpr double kLeastUsable = 0.02, kUsualUsable = 0.1;
constexpr size_t kFewestForShares = 64;

struct Remark {
  std::string text;  // empty if there is nothing to say
  bool is_certain = false;
};

std::string usable(const CheckedScan& scan) {
  return "Only " + std::to_string(scan.count) + " of " + std::to_string(scan.num_points) +
         " points have a position; the others are NaN, infinite or at the origin";
}

void refuse_unusable(const CheckedScan& scan) {
  if (scan.count && static_cast<double>(scan.count) >= kLeastUsable * static_cast<double>(scan.num_points)) return;
  throw Error(ErrorKind::kData,
              usable(scan) + ". Expected a scan with positions: check the driver or the file." + kHint);
}

bool are_few_usable(const CheckedScan& scan) {
  return static_cast<double>(scan.count) < kUsualUsable * static_cast<double>(scan.num_points) &&
         scan.num_points >= kFewestForShares;
}

Remark check_unit(double p99, size_t num_points, const ScanExpectations& expects) {
  const double low = expects.intensity_range.first;
  const double found = p99 - low, usual = expects.intensity_p99 - low;
  if (found * kUnusualFactor >= usual) return {};
  return {format("99 of 100 intensities are at most %g; in the scans of ", found + low) +
              repr(expects.sensor) +
              format(" that the network was trained on they were at most %g. They seem to be in another unit, or "
                     "missing. Convert them to %g to %g.",
                     expects.intensity_p99, low, expects.intensity_range.second),
          found * kLargestUnitFactor < usual && num_points >= kFewestForShares};
}

Remark check_intensities(const CheckedScan& scan, const ScanExpectations& expects) {
  Vector<float> some;
  for (int64_t i : sample(scan.count)) some.push_back(scan.intensity[i]);
  const std::array<double, 5> percentiles = quantiles(some, kIntensityPercents);
  Remark unit = check_unit(quantile_of_sorted(some, 99.0), scan.count, expects);
  if (!unit.text.empty() || scan.count < kFewestIntensities) return unit;
  return {other_scale(percentiles, expects), false};
}

// Refuses a scan whose rings are not known although the network needs them, unless a table gives rows.
Remark check_order(const CheckedScan& scan, const ScanExpectations& expects) {
  if (scan.count < kFewestForShares) return {};
  std::string rings = "known";
  if (expects.rings) {
    const auto [fewest, most] = *expects.rings;
    rings = std::to_string(fewest) + (fewest == most ? "" : " to " + std::to_string(most));
  }
  const std::string text =
      "The rings of the points are not known: they come in no order that tells, while the network was trained on " +
      rings + " rings. Keep the order in which the sensor gives the points, or pass the ring of each.";
  if (scan.image->rows != Rows::kBeams) return {text, true};
  return {text + " Rows are those of the nearest beams of the sensor's table.", false};
}

// The ring of each point, given or recovered; null where nothing tells it.
const int32_t* known_ring(const CheckedScan& scan, Vector<int32_t>& recovered) {
  if (scan.ring) return scan.ring;
  if (scan.image && scan.image->rows == Rows::kRing) return scan.image->row.data();
  if (scan.image && scan.image->rows == Rows::kBeams) return nullptr;  // recovery was tried
  // More rings than the image has rows, or an image whose rows are not rings.
  recovered.resize(scan.count);
  const int32_t status = hwnas_recover_rings(scan.points, static_cast<int64_t>(scan.count), recovered.data());
  if (status == HWNAS_NO_MEMORY) throw std::bad_alloc();
  return status == HWNAS_NO_ROWS ? nullptr : recovered.data();
}

void add_finding_on_rows(const CheckedScan& scan, size_t num_rows, const ScanExpectations& expects,
                         Findings& findings) {
  if (!scan.image || scan.image->rows != Rows::kRing || !expects.geometry) return;
  std::optional<Finding> finding = check_rows({scan.points, scan.count}, scan.image->row, num_rows, *expects.geometry);
  if (finding) findings.push_back(std::move(*finding));
}

std::string refusal(const Findings& findings, const ScanExpectations& expects) {
  std::vector<std::string> texts, remedies;
  for (const Finding& finding : findings) {
    if (!finding.is_certain) continue;
    texts.push_back(finding.text);
    if (std::find(remedies.begin(), remedies.end(), finding.remedy) == remedies.end()) {
      remedies.push_back(finding.remedy);
    }
  }
  return "The scan is not like those of " + repr(expects.sensor) +
         " that the network was trained on: " + joined(texts, "; ") + ". " + joined(remedies, " ");
}

std::string sentence(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

}  // namespace

void ScanChecks::check(const CheckedScan& scan, const Vector<const std::string*>& problems,
                       std::vector<std::string>& warnings) const {
  std::vector<std::string> reasons;
  const auto refuse = [&](const char* hint) {
    for (const std::string* problem : problems) reasons.push_back(*problem);
    throw Error(ErrorKind::kData, joined(reasons, kAlso) + hint);
  };
  if (!expects_ || !scan.num_points) {
    if (!problems.empty()) refuse("");
    if (expects_) warnings.emplace_back("The scan has no points.");
    return;
  }
  const ScanExpectations& expects = *expects_;
  refuse_unusable(scan);
  if (are_few_usable(scan)) warnings.push_back(usable(scan) + ".");
  Vector<int32_t> recovered;
  const int32_t* ring = known_ring(scan, recovered);
  Findings findings = findings_of_scan(scan, ring, expects);
  add_finding_on_rows(scan, num_rows_, expects, findings);
  const auto is_certain = [](const Finding& finding) { return finding.is_certain; };
  if (std::any_of(findings.begin(), findings.end(), is_certain)) reasons.push_back(refusal(findings, expects));
  const auto take = [&](Remark remark) {
    if (!remark.text.empty()) (remark.is_certain ? reasons : warnings).push_back(std::move(remark.text));
  };
  if (scan.image && !expects.is_any_order && is_ring_ && !ring) take(check_order(scan, expects));
  if (problems.empty()) take(check_intensities(scan, expects));
  if (!reasons.empty() || !problems.empty()) refuse(problems.empty() ? kHint : "");
  if (scan.count < kFewestForChecks || (expects.geometry && is_sparse(scan.count, *expects.geometry))) {
    warnings.push_back("With " + std::to_string(scan.count) +
                       " points it cannot be known for sure whether they come from such a sensor as " +
                       repr(expects.sensor) + ", which the network was trained for.");
  }
  for (const Finding& finding : findings) warnings.push_back(sentence(finding.text) + ". " + finding.remedy);
}

}  // namespace hwnas::runtime

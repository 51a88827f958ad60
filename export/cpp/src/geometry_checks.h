// Compares the geometry of a scan with that of the scans that a network was trained on; see
// hwnas.bundle.runtime.geometry_checks, beam_checks, row_checks, ground_checks and confirmation.

#ifndef HWNAS_RUNTIME_SRC_GEOMETRY_CHECKS_H_
#define HWNAS_RUNTIME_SRC_GEOMETRY_CHECKS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "cloud_geometry.h"
#include "expectations.h"
#include "scan_checks.h"
#include "scan_finding.h"

namespace hwnas::runtime {

// All in which a scan differs from what is expected. ring [M]: as given or recovered, or null.
Findings findings_of_scan(const CheckedScan& scan, const int32_t* ring, const ScanExpectations& expects);

// Whether so few points may hide what tells sensors apart.
bool is_sparse(size_t num_points, const GeometryExpectations& expects);

// The parts of the above.

constexpr double kPointsPerBeam = 12.0;  // with fewer points a beam may happen to have none
constexpr double kTiltRefusedDeg = 14.0;

bool are_other_beams(const Beams& beams, const GeometryExpectations& expects);
std::optional<Finding> check_beams(const CloudGeometry& found, const GeometryExpectations& expects);
// What speaks against rows by the nearest beam: points that lie between the expected beams.
std::optional<Finding> between_beams(const Vector<float>& elevation_deg, const GeometryExpectations& expects);

// Compares elevations with those of the same rows in training scans. row [count]: those of rings.
std::optional<Finding> check_rows(const Cloud& cloud, const std::vector<int32_t>& row, size_t num_rows,
                                  const GeometryExpectations& expects);

std::optional<Finding> check_unit(const CloudGeometry& found, const GeometryExpectations& expects);
std::optional<Finding> check_ranges(const CloudGeometry& found, const GeometryExpectations& expects);
std::optional<Finding> check_height(const CloudGeometry& found, const GeometryExpectations& expects);
std::optional<Finding> check_tilt(const CloudGeometry& found, const GeometryExpectations& expects);
// The height of the origin above a ground that is seen well enough.
std::optional<double> height_of(const std::optional<Ground>& ground);

struct Unit {
  const char* name;
  double per_metre;
};
constexpr Unit kUnits[] = {
    {"metres", 1.0}, {"feet", 3.28084}, {"centimetres", 100.0}, {"inches", 39.3701}, {"millimetres", 1000.0}};

// The findings without those that do not stand a closer look, and with what it brought to light.
void confirm_findings(const Cloud& cloud, const CloudGeometry& found, const GeometryExpectations& expects,
                bool are_rings_known, Findings& findings);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_GEOMETRY_CHECKS_H_

// What a network expects of the scans it is given; see hwnas.data.expectations,
// hwnas.data.expected_intensities and hwnas.data.geometry.expected_geometry.

#ifndef HWNAS_RUNTIME_SRC_EXPECTATIONS_H_
#define HWNAS_RUNTIME_SRC_EXPECTATIONS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "json_forward.h"

namespace hwnas::runtime {

using Pair = std::pair<double, double>;

// Which way round and in which order the points of a turn follow each other.
struct Turn {
  bool is_left = false;  // azimuth grows
  bool is_by_column = false;

  const char* order() const { return is_by_column ? "column-by-column" : "ring-by-ring"; }
};

struct GeometryExpectations {
  std::vector<double> beam_elevation_deg;  // top beam first; empty where no beams were found
  double beam_spread_deg = 0.0;
  Pair lower_edge_deg, upper_edge_deg;
  std::array<Pair, 4> sector_edges;  // of sectors of 60, 120, 180 and 240 degrees
  Pair azimuth_coverage, median_range_m, far_range_m;
  std::optional<Pair> ground_height_m;
  std::optional<double> ground_tilt_deg;
  std::optional<Turn> turn;
  std::optional<Pair> sector_spacing_deg;
  std::optional<int64_t> sector_beams;
  std::optional<bool> is_left_in_time;

  // Up to which distance elevations were left out of the expectations.
  double near_m() const { return 0.1 * median_range_m.second; }
  // How far a view of that share of the turn reaches at least, down and up.
  Pair edges_deg(double coverage) const;
};

constexpr double kIntensityPercents[] = {10.0, 25.0, 50.0, 75.0, 90.0};

// In the sensor's own unit, of training scans and of quarters of their turns.
struct IntensityExpectations {
  std::array<Pair, 5> percentiles;  // the least and the most
  double least_spread = 0.0;        // between the last and the first percentile
};

struct ScanExpectations {
  std::string sensor;
  Pair intensity_range;
  double intensity_p99 = 0.0;
  std::optional<std::pair<int64_t, int64_t>> rings;
  bool is_any_order = false;
  Pair field_of_view_deg;
  std::optional<double> sensor_height_m;
  std::optional<GeometryExpectations> geometry;
  std::optional<IntensityExpectations> intensities;
};

// Throws StatementError if the section does not say it.
ScanExpectations read_expectations(const Json& value);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_EXPECTATIONS_H_

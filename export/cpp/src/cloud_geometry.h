// What a point cloud says about the sensor that took it; see hwnas.data.geometry.cloud_geometry, hwnas.data.geometry.beams and
// hwnas.data.geometry.ground_plane, which say how it works.

#ifndef HWNAS_RUNTIME_SRC_CLOUD_GEOMETRY_H_
#define HWNAS_RUNTIME_SRC_CLOUD_GEOMETRY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "../scratch.h"
#include "expectations.h"
#include "sorting.h"

namespace hwnas::runtime {

constexpr size_t kSamples = 8192;
constexpr std::array<double, 7> kElevationPercents = {0.5, 5.0, 25.0, 50.0, 75.0, 95.0, 99.5};
constexpr std::array<double, 4> kRangePercents = {5.0, 50.0, 95.0, 99.0};

// Points [count][3] in metres, all with a direction.
struct Cloud {
  const float* points = nullptr;
  size_t count = 0;

  const float* operator[](size_t i) const { return points + 3 * i; }
};

// The beams that measured a cloud, top beam first.
struct Beams {
  Vector<double> elevation_deg;
  double spread_deg = 0.0;
  bool are_given = false;
  Vector<int64_t> num_points;
};

// The plane under (or over) the sensor.
struct Ground {
  double height = 0.0, roll_deg = 0.0, pitch_deg = 0.0, support = 0.0;

  double tilt_deg() const;
};

// How beams lie in narrow sectors.
struct SectorPattern {
  double spacing_deg = 0.0;
  int64_t most = 0;
};

struct CloudGeometry {
  size_t num_points = 0;
  double azimuth_coverage = 0.0;
  std::optional<std::array<double, 7>> elevation_deg;
  std::optional<std::array<double, 4>> range_quantiles;
  std::optional<Beams> beams;
  std::optional<Ground> ground;
  std::optional<Turn> turn;
  std::optional<bool> is_left_in_time;
};

// ring [count], time [count]: or null. near_m: see is_far.
CloudGeometry geometry_of(const Cloud& cloud, const int32_t* ring, const double* time, double near_m);

// The same up to `most` indices below `count` every time, growing, spread evenly.
Vector<int64_t> sample(size_t count, size_t most = kSamples);

// Percentiles of some values, at least one. Sorts them.
template <size_t kCount>
std::array<double, kCount> quantiles(Vector<float>& values, const double (&percents)[kCount]);
double quantile_of_sorted(const Vector<float>& values, double percent);

// Those of some indices whose points are so far that their elevation is that of their beam.
Vector<int64_t> far_indices(const Cloud& cloud, const Vector<int64_t>& chosen, double near_m);
// Some points, and those of them that are far, as [M][3].
Vector<float> points_of(const Cloud& cloud, const Vector<int64_t>& chosen);
Vector<float> far_points(const Cloud& cloud, const Vector<int64_t>& chosen, double near_m);

Vector<float> elevations_of(const Cloud& cloud);  // degrees
Vector<float> azimuths_of(const Cloud& cloud);    // degrees

// The beams of each sector that shows them clearly.
Vector<Beams> sector_beams(const Cloud& cloud, double near_m);
std::optional<SectorPattern> sector_pattern(const Cloud& cloud, double near_m);

std::optional<Beams> beams_of(const Vector<float>& elevation_deg);
std::optional<Beams> beams_of_rings(const Vector<float>& elevation_deg, const Vector<int32_t>& ring);
std::optional<Ground> ground_of(const Cloud& cloud);
std::optional<Turn> turn_of(const Cloud& cloud, const int32_t* ring, const double* time);

template <size_t kCount>
std::array<double, kCount> quantiles(Vector<float>& values, const double (&percents)[kCount]) {
  sort_numbers(values);
  std::array<double, kCount> found{};
  for (size_t i = 0; i < kCount; ++i) found[i] = quantile_of_sorted(values, percents[i]);
  return found;
}

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_CLOUD_GEOMETRY_H_

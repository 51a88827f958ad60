#include "cloud_geometry.h"

#include <algorithm>
#include <cmath>

#include "../angles.h"
#include "numbers.h"
#include "random.h"

namespace hwnas::runtime {
namespace {

constexpr float kDegrees = 57.29577951308232f;
constexpr size_t kFewestForQuantiles = 8, kSectorSamples = 65536, kFewestInPattern = 12, kSectors = 12;
constexpr double kLeastBeyond = 0.25;
constexpr int64_t kAzimuthBins = 180;

// Of numbers that are no negative ones beyond -180: which of `bins` equal parts of a turn an azimuth lies in.
int64_t part_of_turn(float azimuth_deg, int64_t bins) {
  const auto number =
      static_cast<int64_t>((azimuth_deg + 180.0f) * static_cast<float>(static_cast<double>(bins) / 360.0));
  return ((number % bins) + bins) % bins;
}

double coverage_of(const Cloud& cloud) {
  if (!cloud.count) return 0.0;
  // Bins that a whole turn of so few points would surely fill.
  const int64_t bins = std::clamp<int64_t>(static_cast<int64_t>(cloud.count / 8), 4, kAzimuthBins);
  Vector<uint8_t> is_filled(static_cast<size_t>(bins), 0);
  for (float azimuth : azimuths_of(cloud)) is_filled[static_cast<size_t>(part_of_turn(azimuth, bins))] = 1;
  return static_cast<double>(std::count(is_filled.begin(), is_filled.end(), 1)) / static_cast<double>(bins);
}

// Whether the elevation of each point is that of its beam.
Vector<uint8_t> is_far(const Vector<float>& range, double near_m) {
  Vector<uint8_t> far(range.size(), 0);
  if (range.empty()) return far;
  Vector<float> ordered(range);
  const auto middle = ordered.begin() + static_cast<std::ptrdiff_t>(ordered.size() / 2);
  std::nth_element(ordered.begin(), middle, ordered.end());
  const float own = 0.1f * *middle, limit = static_cast<float>(near_m);
  const auto beyond = std::count_if(range.begin(), range.end(), [=](float value) { return value > limit; });
  const bool counts = !(static_cast<double>(beyond) < kLeastBeyond * static_cast<double>(range.size()));
  for (size_t i = 0; i < range.size(); ++i) far[i] = range[i] > own && (!counts || range[i] > limit);
  return far;
}

Vector<float> ranges_of(const Cloud& cloud, const Vector<int64_t>& chosen) {
  Vector<float> range;
  for (int64_t i : chosen) range.push_back(distance_of(cloud[static_cast<size_t>(i)]));
  return range;
}

// Whether times are more than one for the whole scan, or one for each of a few turns.
bool is_telling(const double* time, size_t count) {
  if (!std::all_of(time, time + count, [](double value) { return std::isfinite(value); })) return false;
  Room<uint64_t> some;
  for (int64_t i : sample(count)) some.push_back(key_of(time[i]));
  sort_by_digits(some, [](uint64_t key) { return key; });
  return std::unique(some.begin(), some.end()) - some.begin() >= 64;
}

Vector<int64_t> marked(const Vector<int64_t>& chosen, const Vector<uint8_t>& which) {
  Vector<int64_t> found;
  found.reserve(chosen.size());
  for (size_t i = 0; i < chosen.size(); ++i) {
    if (which[i]) found.push_back(chosen[i]);
  }
  return found;
}

}  // namespace

Vector<int64_t> sample(size_t count, size_t most) {
  Vector<int64_t> chosen(std::min(count, most));
  if (count <= most) {
    for (size_t i = 0; i < count; ++i) chosen[i] = static_cast<int64_t>(i);
    return chosen;
  }
  const double stride = static_cast<double>(count) / static_cast<double>(most);
  Random random(most);
  for (size_t i = 0; i < most; ++i) {
    const auto place = static_cast<int64_t>((static_cast<double>(i) + random.real()) * stride);
    chosen[i] = std::min(place, static_cast<int64_t>(count) - 1);
  }
  return chosen;
}

double quantile_of_sorted(const Vector<float>& values, double percent) {
  const double where = percent / 100.0 * static_cast<double>(values.size() - 1);
  const auto below = std::min(static_cast<size_t>(where), values.size() - 1);
  const double low = values[below];
  if (below + 1 == values.size() || where == static_cast<double>(below)) return low;
  return (values[below + 1] - low) * (where - static_cast<double>(below)) + low;
}

Vector<int64_t> far_indices(const Cloud& cloud, const Vector<int64_t>& chosen, double near_m) {
  return marked(chosen, is_far(ranges_of(cloud, chosen), near_m));
}

Vector<float> points_of(const Cloud& cloud, const Vector<int64_t>& chosen) {
  Vector<float> points;
  points.reserve(3 * chosen.size());
  for (int64_t i : chosen) {
    const float* point = cloud[static_cast<size_t>(i)];
    points.insert(points.end(), point, point + 3);
  }
  return points;
}

Vector<float> far_points(const Cloud& cloud, const Vector<int64_t>& chosen, double near_m) {
  return points_of(cloud, far_indices(cloud, chosen, near_m));
}

Vector<float> elevations_of(const Cloud& cloud) {
  Vector<float> elevation(cloud.count);
  for (size_t i = 0; i < cloud.count; ++i) {
    elevation[i] = angle_of(cloud[i][2], ground_distance_of(cloud[i])) * kDegrees;
  }
  return elevation;
}

Vector<float> azimuths_of(const Cloud& cloud) {
  Vector<float> azimuth(cloud.count);
  for (size_t i = 0; i < cloud.count; ++i) azimuth[i] = angle_of(cloud[i][1], cloud[i][0]) * kDegrees;
  return azimuth;
}

CloudGeometry geometry_of(const Cloud& cloud, const int32_t* ring, const double* time, double near_m) {
  const Vector<int64_t> chosen = sample(cloud.count);
  Vector<float> range = ranges_of(cloud, chosen);
  const Vector<int64_t> far = marked(chosen, is_far(range, near_m));
  const Vector<float> some = points_of(cloud, chosen), of_far = points_of(cloud, far);
  const Cloud sampled{some.data(), some.size() / 3};
  Vector<float> elevation = elevations_of({of_far.data(), of_far.size() / 3});
  CloudGeometry found;
  found.num_points = cloud.count;
  found.azimuth_coverage = coverage_of(sampled);
  if (ring) {
    Vector<int32_t> rings;
    for (int64_t i : far) rings.push_back(ring[i]);
    found.beams = beams_of_rings(elevation, rings);
  } else {
    found.beams = beams_of(elevation);
  }
  found.ground = ground_of(sampled);
  found.turn = turn_of(cloud, ring, nullptr);
  if (time && is_telling(time, cloud.count)) {
    const std::optional<Turn> in_time = turn_of(cloud, ring, time);
    if (in_time) found.is_left_in_time = in_time->is_left;
  }
  if (sampled.count >= kFewestForQuantiles) {
    sort_numbers(elevation);
    sort_numbers(range);
    found.elevation_deg.emplace();
    found.range_quantiles.emplace();
    const auto of_elevation = [&](double percent) { return quantile_of_sorted(elevation, percent); };
    const auto of_range = [&](double percent) { return quantile_of_sorted(range, percent); };
    std::transform(kElevationPercents.begin(), kElevationPercents.end(), found.elevation_deg->begin(), of_elevation);
    std::transform(kRangePercents.begin(), kRangePercents.end(), found.range_quantiles->begin(), of_range);
  }
  return found;
}

Vector<Beams> sector_beams(const Cloud& cloud, double near_m) {
  const Vector<float> some = far_points(cloud, sample(cloud.count, kSectorSamples), near_m);
  const Cloud far{some.data(), some.size() / 3};
  const Vector<float> azimuth = azimuths_of(far), elevation = elevations_of(far);
  Vector<Beams> found;
  for (size_t sector = 0; sector < kSectors; ++sector) {
    Vector<float> inside;
    for (size_t i = 0; i < far.count; ++i) {
      if (part_of_turn(azimuth[i], kSectors) == static_cast<int64_t>(sector)) inside.push_back(elevation[i]);
    }
    std::optional<Beams> beams = beams_of(inside);
    if (beams) found.push_back(std::move(*beams));
  }
  return found;
}

std::optional<SectorPattern> sector_pattern(const Cloud& cloud, double near_m) {
  Vector<double> steps;
  Vector<int64_t> numbers;
  for (const Beams& beams : sector_beams(cloud, near_m)) {
    if (beams.num_points.size() < kFewestInPattern) continue;
    numbers.push_back(static_cast<int64_t>(beams.num_points.size()));
    for (size_t k = 1; k < beams.elevation_deg.size(); ++k) {
      steps.push_back(beams.elevation_deg[k - 1] - beams.elevation_deg[k]);
    }
  }
  if (numbers.size() < 2) return std::nullopt;
  std::sort(numbers.begin(), numbers.end());
  return SectorPattern{median(steps), numbers[numbers.size() - 2]};
}

}  // namespace hwnas::runtime

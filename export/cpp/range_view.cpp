#include "range_view.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>

#include "angles.h"
#include "neighbours.h"
#include "rows.h"

namespace hwnas {
namespace {

constexpr float kInversePi = 0.31830988618379067154f;
constexpr float kDegrees = 57.2957795130823208768f;

// Places from 0 as pixels 0 to size - 1; NaN as 0.
Words to_pixels(Floats place, int32_t size) {
  return truncated(lower_of(higher_of(place, Floats{}), all_of(static_cast<float>(size - 1))));
}

// How rows were found: HWNAS_RING, HWNAS_BEAMS or HWNAS_SPHERICAL, which leaves rows to the elevation.
int32_t find_rows(const Directions& directions, const int32_t* ring, int32_t height, const int32_t* beams,
                  int32_t num_beams, IntSpan row, int32_t& remark) {
  const RowFinder finder(directions, height, beams, num_beams);
  if (ring) std::copy_n(ring, row.count, row.first);
  const RowMethod method = ring ? finder.of_given(row, remark) : finder.of_points(row);
  switch (method) {
    case RowMethod::kRing: return HWNAS_RING;
    case RowMethod::kBeams: return HWNAS_BEAMS;
    case RowMethod::kWrongRing: return HWNAS_WRONG_RING;
    default: return HWNAS_SPHERICAL;
  }
}

void rows_by_elevation(const float* points, int64_t count, int32_t height, float fov_down_deg, float fov_span_deg,
                       int32_t* row) {
  for_each_four(points, count, [&](const FourPoints& four, int64_t first, size_t number) {
    const Floats elevation = angle_of(four.z, ground_distance_of(four)) * kDegrees;
    const Floats above = (elevation - fov_down_deg) / fov_span_deg;
    store(row + first, to_pixels((1.0f - above) * static_cast<float>(height), height), number);
  });
}

// The nearest point of each pixel, of equally near ones the first, and its distance; infinity where there is none.
// Points without a direction get pixel (0, 0).
void find_winners(const float* range_m, int64_t count, int32_t width, int32_t* row, int32_t* column,
                  int32_t* point_index, float* nearest_m) {
  for (int64_t i = 0; i < count; ++i) {
    if (!is_valid_range(range_m[i])) {
      row[i] = column[i] = 0;
      continue;
    }
    const size_t pixel = static_cast<size_t>(row[i]) * static_cast<size_t>(width) + static_cast<size_t>(column[i]);
    if (!(range_m[i] < nearest_m[pixel])) continue;
    nearest_m[pixel] = range_m[i];
    point_index[pixel] = static_cast<int32_t>(i);
  }
}

// Coordinates and remissions of the winners, and 0 where there is none.
void fill_image(const float* points, const float* remission, int64_t count, size_t pixels, const int32_t* point_index,
                float* channels, uint8_t* valid) {
  if (!count) {
    std::fill_n(channels, 5 * pixels, 0.0f);
    std::fill_n(valid, pixels, uint8_t{0});
    return;
  }
  for (size_t pixel = 0; pixel < pixels; ++pixel) {
    const int32_t winner = point_index[pixel], some = std::max(winner, 0);
    const float* point = points + 3 * static_cast<int64_t>(some);
    const float values[5] = {channels[pixel], point[0], point[1], point[2], remission[some]};
    for (size_t channel = 0; channel < 5; ++channel) {
      channels[channel * pixels + pixel] = winner >= 0 ? values[channel] : 0.0f;
    }
    valid[pixel] = winner >= 0;
  }
}

int32_t project(const float* points, const float* remission, const int32_t* given_ring, int64_t count,
                int32_t height, int32_t width, int32_t method, float fov_down_deg, float fov_span_deg,
                const int32_t* beams, int32_t num_beams, float* channels, uint8_t* valid, int32_t* point_index,
                int32_t* row, int32_t* column, float* range_m, int32_t* remark) {
  const size_t pixels = static_cast<size_t>(height) * static_cast<size_t>(width);
  const float half_width = 0.5f * static_cast<float>(width);
  const bool has_rings = method == HWNAS_RING;
  *remark = 0;
  Directions directions(has_rings ? count : 0, has_rings);
  for_each_four(points, count, [&](const FourPoints& four, int64_t first, size_t number) {
    const Floats range = distance_of(four), angle = angle_of(four.y, four.x);
    if (has_rings) directions.add(four, range, angle, first);
    store(range_m + first, range, number);
    store(column + first, to_pixels(half_width * (1.0f - angle * kInversePi), width), number);
  });
  if (has_rings) {
    directions.finish();
    const IntSpan rows{row, static_cast<size_t>(count)};
    method = find_rows(directions, given_ring, height, beams, num_beams, rows, *remark);
    if (method < 0) return method;
  }
  if (method == HWNAS_SPHERICAL) {
    if (!(fov_span_deg > 0.0f)) return HWNAS_NO_ROWS;
    rows_by_elevation(points, count, height, fov_down_deg, fov_span_deg, row);
  }
  std::fill_n(point_index, pixels, -1);
  std::fill_n(channels, pixels, std::numeric_limits<float>::infinity());
  find_winners(range_m, count, width, row, column, point_index, channels);
  fill_image(points, remission, count, pixels, point_index, channels, valid);
  return method;
}

void label_points(const uint8_t* label_image, const float* ranges, const uint8_t* valid, const int32_t* point_index,
                  const int32_t* row, const int32_t* column, const float* range_m, int64_t count, int32_t height,
                  int32_t width, const KnnSettings& knn, bool only_lost, uint8_t* labels) {
  const Unanimous unanimous(label_image, valid, height, width, knn);
  const Neighbourhood image(label_image, ranges, valid, height, width, knn);
  PointInts undecided(static_cast<size_t>(count) + kLanes);
  size_t number = 0;
  for (int64_t i = 0; i < count; ++i) {
    const size_t pixel = static_cast<size_t>(row[i]) * width + column[i];
    const bool is_usable = is_valid_range(range_m[i]), is_kept = only_lost && point_index[pixel] == i;
    const uint8_t label = is_kept ? label_image[pixel] : unanimous.label[pixel];
    labels[i] = is_usable ? label : kNoLabel;
    undecided[number] = static_cast<int32_t>(i);
    number += is_usable & !is_kept & (label == kNoLabel);
  }
  const auto corner_of = [&](int32_t i) { return static_cast<size_t>(row[i]) * image.stride + column[i]; };
  if (!Votes::can_count(knn)) {
    Vote vote(image, knn);
    for (size_t n = 0; n < number; ++n) labels[undecided[n]] = vote(corner_of(undecided[n]), range_m[undecided[n]]);
    return;
  }
  const Votes votes(image, knn);
  // The last ones are asked for again where they make no four.
  for (size_t n = number; number && n < number + kLanes; ++n) undecided[n] = undecided[number - 1];
  for (size_t n = 0; n < number; n += kLanes) {
    size_t corner[kLanes];
    float own[kLanes];
    uint8_t found[kLanes];
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const int32_t i = undecided[n + lane];
      corner[lane] = corner_of(i);
      own[lane] = range_m[i];
    }
    votes(corner, own, found);
    for (size_t lane = 0; lane < kLanes; ++lane) labels[undecided[n + lane]] = found[lane];
  }
}

// Runs a function that needs memory for a while. Without an arena of the caller that of the thread serves: to ask the
// system for each scan anew takes a third of the time.
template <typename Run>
int32_t with_memory(Run run) {
  constexpr size_t kMost = size_t{64} << 20;
  static thread_local Arena of_thread;
  try {
    if (current_arena()) return run();
    const ArenaScope scope(of_thread, kMost);
    return run();
  } catch (const std::bad_alloc&) {
    return HWNAS_NO_MEMORY;
  }
}

}  // namespace
}  // namespace hwnas

int32_t hwnas_range_view_version(void) { return 8; }

int32_t hwnas_project(const float* points, const float* remission, const int32_t* ring, int64_t count, int32_t height,
                      int32_t width, int32_t method, float fov_down_deg, float fov_span_deg, const int32_t* beams,
                      int32_t num_beams, float* channels, uint8_t* valid, int32_t* point_index, int32_t* row,
                      int32_t* column, float* range_m, int32_t* remark) {
  return hwnas::with_memory([&] {
    return hwnas::project(points, remission, ring, count, height, width, method, fov_down_deg, fov_span_deg, beams,
                          num_beams, channels, valid, point_index, row, column, range_m, remark);
  });
}

int32_t hwnas_recover_rings(const float* points, int64_t count, int32_t* ring) {
  return hwnas::with_memory([&]() -> int32_t {
    const hwnas::Directions directions(points, count, true);
    hwnas::PointInts found;
    if (!hwnas::recover_rings(directions, found)) return HWNAS_NO_ROWS;
    std::fill_n(ring, count, 0);
    for (size_t i = 0; i < found.size(); ++i) ring[directions.index[i]] = found[i];
    return 0;
  });
}

int32_t hwnas_label_points(const uint8_t* label_image, const float* ranges, const uint8_t* valid,
                           const int32_t* point_index, const int32_t* row, const int32_t* column,
                           const float* range_m, int64_t count, int32_t height, int32_t width, const float* weights,
                           int32_t k, int32_t window, float cutoff_m, int32_t num_classes, int32_t only_lost,
                           uint8_t* labels) {
  const hwnas::KnnSettings knn{weights, k, window, cutoff_m, num_classes};
  return hwnas::with_memory([&]() -> int32_t {
    hwnas::label_points(label_image, ranges, valid, point_index, row, column, range_m, count, height, width, knn,
                        only_lost != 0, labels);
    return 0;
  });
}

#include "range_view.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <vector>

#include "rows.h"

namespace {

constexpr float kPi = 3.14159265358979323846f;
constexpr float kHalfPi = 1.57079632679489661923f;
constexpr float kInversePi = 0.31830988618379067154f;
constexpr float kDegrees = 57.2957795130823208768f;
constexpr uint8_t kNoLabel = 255;

// Angle of a direction, -pi to pi. Abramowitz & Stegun, Handbook of Mathematical Functions, 4.4.49: a polynomial
// good to 2e-8, in operations that IEEE 754 defines to the last bit. Libraries differ in theirs.
float angle_of(float y, float x) {
  if (std::isnan(x) || std::isnan(y)) return std::numeric_limits<float>::quiet_NaN();
  const float width = std::fabs(x), height = std::fabs(y);
  const float larger = std::max(width, height), smaller = std::min(width, height);
  const float ratio = larger > 0.0f ? smaller / larger : 0.0f;
  const float square = ratio * ratio;
  float sum = 0.0028662257f;
  for (float coefficient : {-0.0161657367f, 0.0429096138f, -0.0752896400f, 0.1065626393f, -0.1420889944f,
                            0.1999355085f, -0.3333314528f, 1.0f}) {
    sum = sum * square + coefficient;
  }
  float angle = sum * ratio;
  if (height > width) angle = kHalfPi - angle;
  if (x < 0.0f) angle = kPi - angle;
  return y < 0.0f ? -angle : angle;
}

float distance_of(const float* point) {
  float squares = point[0] * point[0];
  squares += point[1] * point[1];
  squares += point[2] * point[2];
  return std::sqrt(squares);
}

float ground_distance_of(const float* point) {
  const float x = point[0] * point[0], y = point[1] * point[1];
  return std::sqrt(x + y);
}

int32_t to_pixel(float value, int32_t size) {
  if (std::isnan(value) || value < 0.0f) return 0;
  return value > static_cast<float>(size - 1) ? size - 1 : static_cast<int32_t>(value);
}

// A window filter with std::min or std::max, sideways cyclic; values beyond the first and last row do not count.
template <typename Pick>
void filter(const std::vector<uint8_t>& values, int32_t height, int32_t width, int32_t margin, Pick pick,
            std::vector<uint8_t>& result) {
  std::vector<uint8_t> rows(values.size());
  for (int32_t row = 0; row < height; ++row) {
    uint8_t* target = rows.data() + static_cast<size_t>(row) * width;
    std::copy_n(values.data() + static_cast<size_t>(row) * width, width, target);
    for (int32_t near = std::max(0, row - margin); near <= std::min(height - 1, row + margin); ++near) {
      const uint8_t* source = values.data() + static_cast<size_t>(near) * width;
      for (int32_t column = 0; column < width; ++column) target[column] = pick(target[column], source[column]);
    }
  }
  std::vector<uint8_t> turn(width + 2 * margin);
  for (int32_t row = 0; row < height; ++row) {
    const uint8_t* source = rows.data() + static_cast<size_t>(row) * width;
    for (int32_t column = 0; column < width + 2 * margin; ++column) {
      turn[column] = source[(column - margin + width) % width];
    }
    uint8_t* target = result.data() + static_cast<size_t>(row) * width;
    std::copy_n(turn.data(), width, target);
    for (int32_t shift = 1; shift <= 2 * margin; ++shift) {
      for (int32_t column = 0; column < width; ++column) {
        target[column] = pick(target[column], turn[column + shift]);
      }
    }
  }
}

// What the points look up: an image with a margin, cyclic sideways and empty above and below.
struct Neighbourhood {
  int32_t stride;
  std::vector<float> ranges;
  std::vector<uint8_t> classes;
  std::vector<uint8_t> unanimous;

  Neighbourhood(const uint8_t* label_image, const float* range_image, const uint8_t* valid, int32_t height,
                int32_t width, int32_t margin, int32_t num_classes)
      : stride(width + 2 * margin),
        ranges(static_cast<size_t>(stride) * (height + 2 * margin), std::numeric_limits<float>::infinity()),
        classes(ranges.size(), static_cast<uint8_t>(num_classes)),
        unanimous(static_cast<size_t>(height) * width) {
    std::vector<uint8_t> low(unanimous.size()), high(low), filtered(low);
    for (size_t i = 0; i < low.size(); ++i) {
      const bool votes = valid[i] && label_image[i] < num_classes;
      low[i] = votes ? label_image[i] : 255;
      high[i] = votes ? label_image[i] : 0;
      unanimous[i] = votes;
    }
    filter(low, height, width, margin, [](uint8_t a, uint8_t b) { return std::min(a, b); }, filtered);
    std::swap(low, filtered);
    filter(high, height, width, margin, [](uint8_t a, uint8_t b) { return std::max(a, b); }, filtered);
    std::swap(high, filtered);
    for (size_t i = 0; i < low.size(); ++i) unanimous[i] = unanimous[i] && low[i] == high[i];
    for (int32_t row = 0; row < height; ++row) {
      for (int32_t column = 0; column < stride; ++column) {
        const size_t from = static_cast<size_t>(row) * width + (column - margin + width) % width;
        const size_t to = static_cast<size_t>(row + margin) * stride + column;
        if (!valid[from]) continue;
        ranges[to] = range_image[from];
        if (label_image[from] < num_classes) classes[to] = label_image[from];
      }
    }
  }
};

// The class that the k nearest of a window vote for; of equally many votes the first class wins.
class Vote {
 public:
  Vote(const Neighbourhood& image, const float* weights, int32_t k, int32_t window, float cutoff_m,
       int32_t num_classes)
      : image_(image), weights_(weights), k_(k), window_(window), cutoff_m_(cutoff_m), num_classes_(num_classes),
        distances_(static_cast<size_t>(window) * window), near_(distances_.size()), votes_(256) {}

  uint8_t operator()(size_t corner, float range_m) {
    size_t place = 0;
    for (int32_t row = 0; row < window_; ++row) {
      const float* ranges = image_.ranges.data() + corner + static_cast<size_t>(row) * image_.stride;
      for (int32_t column = 0; column < window_; ++column, ++place) {
        distances_[place] = std::fabs(ranges[column] - range_m) * weights_[place];
      }
    }
    // The pixel of a point stands for the point itself, also where a nearer point has won it.
    distances_[distances_.size() / 2] = 0.0f;
    return count(corner, limit());
  }

 private:
  // The k-th smallest distance, or the cutoff where fewer lie within it.
  float limit() {
    int32_t within = 0;
    for (float distance : distances_) {
      near_[within] = distance;
      within += distance <= cutoff_m_;
    }
    if (within <= k_) return cutoff_m_;
    std::nth_element(near_.begin(), near_.begin() + (k_ - 1), near_.begin() + within);
    return near_[k_ - 1];
  }

  uint8_t count(size_t corner, float limit) {
    std::fill_n(votes_.begin(), num_classes_, 0);
    int32_t most = 0;
    size_t place = 0;
    for (int32_t row = 0; row < window_; ++row) {
      const uint8_t* classes = image_.classes.data() + corner + static_cast<size_t>(row) * image_.stride;
      for (int32_t column = 0; column < window_; ++column, ++place) {
        if (distances_[place] <= limit && classes[column] < num_classes_) {
          most = std::max(most, ++votes_[classes[column]]);
        }
      }
    }
    if (!most) return kNoLabel;
    return static_cast<uint8_t>(std::find(votes_.begin(), votes_.end(), most) - votes_.begin());
  }

  const Neighbourhood& image_;
  const float* weights_;
  const int32_t k_, window_;
  const float cutoff_m_;
  const int32_t num_classes_;
  std::vector<float> distances_, near_;
  std::vector<int32_t> votes_;
};

// Rows of all points, and HWNAS_RING, HWNAS_BEAMS or HWNAS_SPHERICAL, which leaves rows to the elevation.
int32_t find_rows(const float* points, const int32_t* ring, int64_t count, int32_t height, const int32_t* beams,
                  int32_t num_beams, const std::vector<float>& azimuth, hwnas::Ints& row, int32_t& remark) {
  const hwnas::Directions directions(points, count);
  const hwnas::RowFinder finder(directions, height, beams, num_beams);
  const hwnas::RowMethod method =
      ring ? finder.of_given(ring, count, row, remark) : finder.of_points(azimuth, count, row);
  switch (method) {
    case hwnas::RowMethod::kRing: return HWNAS_RING;
    case hwnas::RowMethod::kBeams: return HWNAS_BEAMS;
    case hwnas::RowMethod::kWrongRing: return HWNAS_WRONG_RING;
    default: return HWNAS_SPHERICAL;
  }
}

int32_t project(const float* points, const float* remission, const int32_t* given_ring, int64_t count,
                int32_t height, int32_t width, int32_t method, float fov_down_deg, float fov_span_deg,
                const int32_t* beams, int32_t num_beams, float* channels, uint8_t* valid, int32_t* point_index,
                int32_t* row, int32_t* column, float* range_m, int32_t* remark) {
  const size_t pixels = static_cast<size_t>(height) * width;
  std::vector<float> azimuth(count);
  for (int64_t i = 0; i < count; ++i) azimuth[i] = angle_of(points[3 * i + 1], points[3 * i]);
  hwnas::Ints rows;
  *remark = 0;
  if (method == HWNAS_RING) {
    method = find_rows(points, given_ring, count, height, beams, num_beams, azimuth, rows, *remark);
    if (method < 0) return method;
  }
  const bool is_spherical = method == HWNAS_SPHERICAL;
  if (is_spherical && !(fov_span_deg > 0.0f)) return HWNAS_NO_ROWS;
  const float half_width = 0.5f * static_cast<float>(width);
  std::fill_n(point_index, pixels, -1);
  for (int64_t i = 0; i < count; ++i) {
    const float* point = points + 3 * i;
    range_m[i] = distance_of(point);
    row[i] = column[i] = 0;
    if (!std::isfinite(range_m[i]) || !(range_m[i] > 0.0f)) continue;
    column[i] = to_pixel(std::floor(half_width * (1.0f - azimuth[i] * kInversePi)), width);
    if (is_spherical) {
      const float elevation = angle_of(point[2], ground_distance_of(point)) * kDegrees;
      const float above = (elevation - fov_down_deg) / fov_span_deg;
      row[i] = to_pixel(std::floor((1.0f - above) * static_cast<float>(height)), height);
    } else {
      row[i] = rows[i];
    }
    int32_t& winner = point_index[static_cast<size_t>(row[i]) * width + column[i]];
    if (winner < 0 || range_m[i] < range_m[winner]) winner = static_cast<int32_t>(i);
  }
  std::fill_n(channels, 5 * pixels, 0.0f);
  for (size_t pixel = 0; pixel < pixels; ++pixel) {
    const int64_t winner = point_index[pixel];
    valid[pixel] = winner >= 0;
    if (winner < 0) continue;
    channels[pixel] = range_m[winner];
    for (size_t axis = 0; axis < 3; ++axis) channels[(1 + axis) * pixels + pixel] = points[3 * winner + axis];
    channels[4 * pixels + pixel] = remission[winner];
  }
  return method;
}

void label_points(const uint8_t* label_image, const float* ranges, const uint8_t* valid, const int32_t* point_index,
                  const int32_t* row, const int32_t* column, const float* range_m, int64_t count, int32_t height,
                  int32_t width, const float* weights, int32_t k, int32_t window, float cutoff_m,
                  int32_t num_classes, bool only_lost, uint8_t* labels) {
  const Neighbourhood image(label_image, ranges, valid, height, width, window / 2, num_classes);
  Vote vote(image, weights, k, window, cutoff_m, num_classes);
  for (int64_t i = 0; i < count; ++i) {
    const size_t pixel = static_cast<size_t>(row[i]) * width + column[i];
    if (!std::isfinite(range_m[i]) || !(range_m[i] > 0.0f)) {
      labels[i] = kNoLabel;
    } else if (image.unanimous[pixel] || (only_lost && point_index[pixel] == i)) {
      labels[i] = label_image[pixel];
    } else {
      labels[i] = vote(static_cast<size_t>(row[i]) * image.stride + column[i], range_m[i]);
    }
  }
}

}  // namespace

int32_t hwnas_range_view_version(void) { return 3; }

int32_t hwnas_project(const float* points, const float* remission, const int32_t* ring, int64_t count, int32_t height,
                      int32_t width, int32_t method, float fov_down_deg, float fov_span_deg, const int32_t* beams,
                      int32_t num_beams, float* channels, uint8_t* valid, int32_t* point_index, int32_t* row,
                      int32_t* column, float* range_m, int32_t* remark) {
  try {
    return project(points, remission, ring, count, height, width, method, fov_down_deg, fov_span_deg, beams,
                   num_beams, channels, valid, point_index, row, column, range_m, remark);
  } catch (const std::bad_alloc&) {
    return HWNAS_NO_MEMORY;
  }
}

int32_t hwnas_recover_rings(const float* points, int64_t count, int32_t* ring) {
  try {
    const hwnas::Directions directions(points, count);
    std::vector<float> azimuth(count);
    for (int64_t i = 0; i < count; ++i) azimuth[i] = angle_of(points[3 * i + 1], points[3 * i]);
    hwnas::Ints found;
    if (!hwnas::recover_rings(directions, azimuth, found)) return HWNAS_NO_ROWS;
    std::fill_n(ring, count, 0);
    for (size_t i = 0; i < found.size(); ++i) ring[directions.index[i]] = found[i];
    return 0;
  } catch (const std::bad_alloc&) {
    return HWNAS_NO_MEMORY;
  }
}

int32_t hwnas_label_points(const uint8_t* label_image, const float* ranges, const uint8_t* valid,
                           const int32_t* point_index, const int32_t* row, const int32_t* column,
                           const float* range_m, int64_t count, int32_t height, int32_t width, const float* weights,
                           int32_t k, int32_t window, float cutoff_m, int32_t num_classes, int32_t only_lost,
                           uint8_t* labels) {
  try {
    label_points(label_image, ranges, valid, point_index, row, column, range_m, count, height, width, weights, k,
                 window, cutoff_m, num_classes, only_lost != 0, labels);
    return 0;
  } catch (const std::bad_alloc&) {
    return HWNAS_NO_MEMORY;
  }
}

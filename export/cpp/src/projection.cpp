#include "projection.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <string>

#include "../lanes.h"
#include "../range_view.h"
#include "exponential.h"
#include "grids.h"
#include "hwnas_runtime/error.hpp"

namespace hwnas::runtime {
namespace {

constexpr int32_t kUnconfirmed = 3;
constexpr size_t kBlock = 1024;  // pixels whose classes are compared at a time, so that they stay in the nearest cache
constexpr const char* kNoRows =
    "The rings of a scan are neither given nor can be recovered, and neither the beams nor the field of view of the "
    "sensor are known. State fov_up_deg and fov_down_deg, name a sensor that hwnas has a table of, or give the ring "
    "of each point.";

const char* remark_on_rows(Rows rows, int32_t remark, bool is_ring) {
  if (is_ring && rows == Rows::kBeams) {
    return "The rings of a scan are neither given nor can be recovered; its points take their rows from the nearest "
           "beam of the sensor's table. Keep the order in which the sensor gives the points, or give the ring of "
           "each.";
  }
  if (is_ring && rows == Rows::kSpherical) {
    return "The rings of a scan are neither given nor can be recovered; its points take their rows from their "
           "elevation. Keep the order in which the sensor gives the points, or give the ring of each.";
  }
  switch (remark) {
    case HWNAS_REORDERED:
      return "The rings of a scan are not numbered in the order of their elevations, as beams are where they are "
             "numbered as they fire; rows are sorted by elevation.";
    case HWNAS_DISAGREE:
      return "The rings of a scan contradict the elevations of its points, as where rings are mixed up or shifted in "
             "a part of the turn, or points are in another frame: points may be in rows of other beams. Check the "
             "column that holds the ring, and that points are in the frame of the sensor.";
    case HWNAS_OTHER_BEAMS:
      return "The elevations of a scan's rings fit other beams of the sensor than their numbers name, as where rings "
             "without points were left out when they were numbered, or the sensor is tilted: points may be in rows of "
             "other beams. Give each ring the number of its beam.";
    case kUnconfirmed:
      return "The order of the points shows fewer rings than the sensor has beams, and elevations do not confirm "
             "which beams these are: points may be in rows of other beams. Give the ring of each point, or more of "
             "the turn.";
    default: return "";
  }
}

std::string wrong_rings(const int32_t* ring, int64_t count, int32_t num_rows) {
  const auto ends = std::minmax_element(ring, ring + count);
  return "The rings are " + std::to_string(*ends.first) + ".." + std::to_string(*ends.second) +
         ", but the image has " + std::to_string(num_rows) +
         " rows; set the image height to the number of rings, or use the method 'spherical'.";
}

int32_t call_kernel(const float* points, const float* remission, const int32_t* ring, int64_t count,
                    const ProjectionSettings& settings, RangeImage& image, int32_t& remark) {
  const double unknown = std::numeric_limits<double>::quiet_NaN();
  const double up = settings.fov_up_deg.value_or(unknown), down = settings.fov_down_deg.value_or(unknown);
  const int32_t status = hwnas_project(
      points, remission, ring, count, settings.height, settings.width,
      settings.is_ring ? HWNAS_RING : HWNAS_SPHERICAL, static_cast<float>(down), static_cast<float>(up - down),
      settings.beam_sines.empty() ? nullptr : settings.beam_sines.data(),
      static_cast<int32_t>(settings.beam_sines.size()), image.channels.data(), image.valid.data(),
      image.point_index.data(), image.row.data(), image.column.data(), image.range_m.data(), &remark);
  if (status == HWNAS_NO_MEMORY) throw std::bad_alloc();
  return status;
}

void resize(RangeImage& image, const ProjectionSettings& settings, int64_t count) {
  const auto pixels = static_cast<size_t>(settings.height) * static_cast<size_t>(settings.width);
  const auto points = static_cast<size_t>(count);
  image.channels.resize(5 * pixels);
  image.valid.resize(pixels);
  image.point_index.resize(pixels);
  image.row.resize(points);
  image.column.resize(points);
  image.range_m.resize(points);
}

}  // namespace

const char* name_of(Rows rows) {
  switch (rows) {
    case Rows::kRing: return "ring";
    case Rows::kBeams: return "beams";
    default: return "spherical";
  }
}

void project(const float* points, const float* remission, const int32_t* ring, int64_t count,
             const ProjectionSettings& settings, RangeImage& image, std::string& problem) {
  resize(image, settings, count);
  if (!settings.is_ring) ring = nullptr;
  int32_t remark = 0;
  const bool is_given = ring != nullptr;
  int32_t status = call_kernel(points, remission, ring, count, settings, image, remark);
  Vector<int32_t> grid;
  if (settings.is_ring && (status == HWNAS_BEAMS || status == HWNAS_SPHERICAL || status == HWNAS_NO_ROWS)) {
    // What the kernel does not look for: clouds that keep the grid of the sensor.
    if (rings_of_grid(points, count, grid) && *std::max_element(grid.begin(), grid.end()) < settings.num_rows()) {
      ring = grid.data();
      status = call_kernel(points, remission, ring, count, settings, image, remark);
    }
  }
  if (status < 0) {
    problem = status == HWNAS_NO_ROWS ? kNoRows : wrong_rings(ring, count, settings.num_rows());
    return;
  }
  problem.clear();
  image.rows = static_cast<Rows>(status);
  if (!is_given && !settings.beam_sines.empty() && image.rows == Rows::kRing) {
    const bool is_confirmed = are_rows_confirmed(points, count, image.row.data(), settings.beam_sines.data(),
                                                 static_cast<int32_t>(settings.beam_sines.size()));
    remark = is_confirmed ? 0 : kUnconfirmed;
  }
  image.remark = remark_on_rows(image.rows, remark, settings.is_ring);
}

void normalise(const RangeImage& image, const Normalisation& normalisation, std::vector<float>& input) {
  const size_t pixels = image.valid.size();
  input.resize(5 * pixels);
  for (size_t channel = 0; channel < 5; ++channel) {
    const float mean = normalisation.mean[channel], scale = normalisation.scale[channel];
    const float* from = image.channels.data() + channel * pixels;
    float* to = input.data() + channel * pixels;
    // A product, as in training, and no choice: zeros have the same sign.
    for (size_t i = 0; i < pixels; ++i) to[i] = (from[i] - mean) * scale * static_cast<float>(image.valid[i]);
  }
}

void label_pixels(const std::vector<float>& logits, int32_t num_classes, const RangeImage& image,
                  std::vector<uint8_t>& labels) {
  const size_t pixels = image.valid.size();
  labels.resize(pixels);
  int64_t wrong = 0, seen = 0;
  float best[kBlock];
  int32_t label[kBlock];
  for (size_t start = 0; start < pixels; start += kBlock) {
    const size_t number = std::min(kBlock, pixels - start);
    std::copy_n(logits.data() + start, number, best);
    std::fill_n(label, number, 0);
    for (int32_t k = 1; k < num_classes; ++k) {
      const float* scores = logits.data() + static_cast<size_t>(k) * pixels + start;
      // Of equal scores the first class wins, and NaN over all numbers, as in numpy.
      for_each_four(number, [&](size_t i, size_t count) {
        const Floats before = load(best + i, count), score = load(scores + i, count);
        const Words wins = ~(score <= before) & (before == before);
        store(best + i, chosen(wins, score, before), count);
        store(label + i, chosen(wins, all_of(k), load(label + i, count)), count);
      });
    }
    for (size_t i = 0; i < number; ++i) {
      const bool is_valid = image.valid[start + i] != 0;
      wrong += is_valid & !std::isfinite(best[i]);  // NaN and infinity win
      seen += is_valid;
      labels[start + i] = is_valid ? static_cast<uint8_t>(label[i]) : uint8_t{255};
    }
  }
  if (wrong == 0) return;
  throw Error(ErrorKind::kData,
              "The network computes NaN or infinity for " + std::to_string(wrong) + " of " + std::to_string(seen) +
                  " pixels, which tells no class. Numbers overflow in half precision, in a model that was damaged, or "
                  "after a training that diverged: use fp32, verify the bundle, or train again.");
}

void sum_scores(const std::vector<float>& logits, int32_t num_classes, size_t pixels, Softmax& softmax) {
  softmax.highest.resize(pixels);
  softmax.total.resize(pixels);
  for (size_t start = 0; start < pixels; start += kBlock) {
    const size_t number = std::min(kBlock, pixels - start);
    float *highest = softmax.highest.data() + start, *total = softmax.total.data() + start;
    const auto for_each_class = [&](int32_t first, auto take) {
      for (int32_t k = first; k < num_classes; ++k) {
        const float* scores = logits.data() + static_cast<size_t>(k) * pixels + start;
        for_each_four(number, [&](size_t i, size_t count) { take(load(scores + i, count), i, count); });
      }
    };
    std::copy_n(logits.data() + start, number, highest);
    std::fill_n(total, number, 0.0f);
    for_each_class(1, [&](Floats score, size_t i, size_t count) {
      store(highest + i, higher_of(score, load(highest + i, count)), count);
    });
    for_each_class(0, [&](Floats score, size_t i, size_t count) {
      store(total + i, load(total + i, count) + exponential(score - load(highest + i, count)), count);
    });
  }
}

void label_points(const std::vector<uint8_t>& label_image, const RangeImage& image,
                  const ProjectionSettings& settings, const KnnSettings& knn, int32_t num_classes, uint8_t* labels) {
  const int32_t status = hwnas_label_points(
      label_image.data(), image.channels.data(), image.valid.data(), image.point_index.data(), image.row.data(),
      image.column.data(), image.range_m.data(), static_cast<int64_t>(image.range_m.size()), settings.height,
      settings.width, knn.weights.data(), knn.k, knn.window, knn.cutoff_m, num_classes, 0, labels);
  if (status == HWNAS_NO_MEMORY) throw std::bad_alloc();
}

}  // namespace hwnas::runtime

// From points to the range image of a network and back, as hwnas.range_view does.

#ifndef HWNAS_RUNTIME_SRC_PROJECTION_H_
#define HWNAS_RUNTIME_SRC_PROJECTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "settings.h"

namespace hwnas::runtime {

// How rows were found; the numbers are those of range_view.h.
enum class Rows : int32_t { kRing = 0, kSpherical = 1, kBeams = 2 };

// Name of a way to find rows: ring, spherical or beams.
const char* name_of(Rows rows);

// A projected scan of N points that all have a direction; H x W pixels. Memory is kept from scan to scan.
struct RangeImage {
  std::vector<float> channels;       // [5][H][W]
  std::vector<uint8_t> valid;        // [H][W]
  std::vector<int32_t> point_index;  // [H][W]
  std::vector<int32_t> row, column;  // [N]
  std::vector<float> range_m;        // [N]
  Rows rows = Rows::kRing;
  const char* remark = "";  // what was done about rings that are missing or contradict elevations
};

// Projects points.
//
// points [count][3] in metres, all with a direction; remission [count]; ring [count] or null.
// problem: out, why the scan has no image; empty if it has one.
void project(const float* points, const float* remission, const int32_t* ring, int64_t count,
             const ProjectionSettings& settings, RangeImage& image, std::string& problem);

// Input [5][H][W] of the network; pixels without a point are 0.
void normalise(const RangeImage& image, const Normalisation& normalisation, std::vector<float>& input);

// Train ids [H][W] of scores [K][H][W]; 255 where no point fell.
// Throws Error (kData) if the score of a pixel with a point is not finite. It would pass for that of a class.
void label_pixels(const std::vector<float>& logits, int32_t num_classes, const RangeImage& image,
                  std::vector<uint8_t>& labels);

// What turns scores into probabilities: the exponential of the distance to the highest, by the total of these. [H][W]
struct Softmax {
  std::vector<float> highest, total;
};

// Of scores [K][H][W]. Pixels without a point may get anything.
void sum_scores(const std::vector<float>& logits, int32_t num_classes, size_t pixels, Softmax& softmax);

// Train ids [N] of the points of an image; 255 where no neighbour has a vote.
void label_points(const std::vector<uint8_t>& label_image, const RangeImage& image,
                  const ProjectionSettings& settings, const KnnSettings& knn, int32_t num_classes, uint8_t* labels);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_PROJECTION_H_

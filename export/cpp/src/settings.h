// What a manifest says about pre- and post-processing, read by deployment.h.

#ifndef HWNAS_RUNTIME_SRC_SETTINGS_H_
#define HWNAS_RUNTIME_SRC_SETTINGS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hwnas::runtime {

struct ProjectionSettings {
  int32_t height = 0, width = 0;
  bool is_ring = true;  // or spherical
  std::optional<double> fov_up_deg, fov_down_deg;
  std::vector<int32_t> beam_sines;  // as hwnas_project takes them; empty without a table

  const char* method() const { return is_ring ? "ring" : "spherical"; }
  int32_t num_rows() const { return beam_sines.empty() ? height : static_cast<int32_t>(beam_sines.size()); }
};

struct Normalisation {
  std::array<float, 5> mean{}, scale{};
};

struct KnnSettings {
  int32_t k = 5, window = 5;
  float cutoff_m = 1.0f;
  std::vector<float> weights;  // [window][window]
};

struct LabelMap {
  std::vector<std::string> class_names;
  std::array<uint32_t, 256> raw_ids{};  // of each train id
  std::vector<std::array<uint8_t, 3>> colors;  // red, green and blue of each class
};

// What the numbers of scan files mean.
struct Coordinates {
  std::array<int, 3> columns = {0, 1, 2};  // of the axes that point forward, left and up
  std::array<int, 3> signs = {1, 1, 1};
  double unit_m = 1.0;
  std::array<double, 3> origin_m{};
};

struct Deployment {
  ProjectionSettings projection;
  Normalisation normalisation;
  KnnSettings knn;
  LabelMap label_map;
  double lowest_intensity = 0.0, highest_intensity = 1.0;
  Coordinates coordinates;
  std::string scan_format;
  std::string scan_options = "{}";  // JSON
  std::string sensor;  // in words for messages
};

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_SETTINGS_H_

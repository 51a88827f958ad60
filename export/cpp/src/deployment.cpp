#include "deployment.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "hwnas_runtime/error.hpp"
#include "json.h"
#include "manifest.h"
#include "numbers.h"
#include "text.h"

namespace hwnas::runtime {
namespace {

constexpr const char* kProcessor = "lidar-range-view";
constexpr const char* kChannels[] = {"range", "x", "y", "z", "remission"};
constexpr const char* kChannelsInWords = "('range', 'x', 'y', 'z', 'remission')";
constexpr double kRadians = 3.14159265358979323846 / 180.0;

// Refuses keys that a section does not have.
void check_known(const Json& value, std::initializer_list<const char*> known, const char* type) {
  for (const auto& item : value.items()) {
    const auto same = [&](const char* key) { return item.key() == key; };
    if (std::none_of(known.begin(), known.end(), same)) {
      throw StatementError("TypeError", std::string(type) + ".__init__() got an unexpected keyword argument '" +
                                            item.key() + "'");
    }
  }
}

int32_t pixels_of(const Json& value, const char* key, const char* what, const Json& all) {
  const Json& given = member_of(value, key);
  if (!given.is_number_integer()) {
    data_error("Expected whole numbers of rows and columns, found " + repr(member_of(all, "height")) + ", " +
               repr(member_of(all, "width")) + ".");
  }
  const bool is_height = std::strcmp(key, "height") == 0;
  const int64_t number = given.get<int64_t>(), least = is_height ? 16 : 256, most = is_height ? 128 : 2048;
  if (number < least || number > most) {
    data_error(std::string("The image ") + key + " is " + std::to_string(number) + "; expected " +
               std::to_string(least) + " to " + std::to_string(most) + " " + what + ".");
  }
  return static_cast<int32_t>(number);
}

void read_view(const Json& value, ProjectionSettings& settings) {
  const auto edge = [&](const char* key) -> std::optional<double> {
    const Json* found = find(value, key);
    if (!found || found->is_null()) return std::nullopt;
    return number_of(*found);
  };
  const auto up = edge("fov_up_deg"), down = edge("fov_down_deg");
  if (!up && !down && settings.is_ring) return;
  if (!up || !down) {
    data_error(
        "The vertical field of view is not known: state both fov_up_deg and fov_down_deg, the elevations of the "
        "upper and the lower edge of the image, or name a sensor that hwnas has a table of.");
  }
  if (!(-90.0 <= *down && *down < *up && *up <= 90.0)) {
    data_error("The vertical field of view is " + repr(*down) + " to " + repr(*up) +
               " degrees; expected -90 <= fov_down_deg < fov_up_deg <= 90.");
  }
  settings.fov_up_deg = up;
  settings.fov_down_deg = down;
}

void read_beams(const Json& value, ProjectionSettings& settings) {
  const Json* found = find(value, "beams_deg");
  if (!found || found->is_null()) return;
  const std::vector<double> beams = numbers_of(*found);
  const bool falls = std::adjacent_find(beams.begin(), beams.end(), [](double a, double b) { return !(b < a); }) ==
                     beams.end();
  const auto most = static_cast<size_t>(settings.height);
  if (beams.size() < 2 || beams.size() > most || !falls || !(beams.back() >= -90.0) || !(beams[0] <= 90.0)) {
    data_error("Expected 2 to " + std::to_string(most) +
               " beams with elevations that fall within 90 to -90 degrees, found " + list_repr(beams) + ".");
  }
  for (double beam : beams) {
    const double sine = std::nearbyint((std::sin(beam * kRadians) + 1.0) * 32768.0);
    settings.beam_sines.push_back(static_cast<int32_t>(std::clamp(sine, 0.0, 65535.0)));
  }
}

ProjectionSettings projection_of(const Json& value) {
  check_known(value, {"height", "width", "method", "fov_up_deg", "fov_down_deg", "beams_deg"}, "ProjectionSpec");
  ProjectionSettings settings;
  settings.height = pixels_of(value, "height", "rows", value);
  settings.width = pixels_of(value, "width", "columns", value);
  const Json* method = find(value, "method");
  if (method && *method != "ring" && *method != "spherical") {
    data_error("The projection method is " + repr(*method) + "; expected one of ['ring', 'spherical'].");
  }
  settings.is_ring = !method || *method == "ring";
  read_view(value, settings);
  read_beams(value, settings);
  return settings;
}

Normalisation normalisation_of(const Json& value) {
  const Json& channels = member_of(value, "channels");
  const bool are_ours = channels.is_array() && channels.size() == 5 &&
                        std::equal(channels.begin(), channels.end(), kChannels);
  if (!are_ours) {
    data_error("The normalisation is for the channels " + repr(channels) + ", not " + kChannelsInWords + ".");
  }
  const std::vector<double> mean = numbers_of(member_of(value, "mean")), std = numbers_of(member_of(value, "std"));
  if (mean.size() != 5 || std.size() != 5) {
    data_error(std::string("Expected one mean and one std for each of the channels ") + kChannelsInWords + ".");
  }
  Normalisation result;
  for (size_t i = 0; i < 5; ++i) {
    if (!std::isfinite(mean[i]) || !std::isfinite(std[i]) || !(std[i] > 0)) {
      data_error("Expected finite means and positive stds.");
    }
    result.mean[i] = static_cast<float>(mean[i]);
    result.scale[i] = static_cast<float>(1.0 / std[i]);
  }
  return result;
}

std::vector<float> weights_of(int32_t window, double sigma) {
  std::vector<double> gaussian;
  for (int32_t row = 0; row < window; ++row) {
    for (int32_t column = 0; column < window; ++column) {
      const double down = row - window / 2, right = column - window / 2;
      gaussian.push_back(std::exp(-(down * down + right * right) / (2.0 * (sigma * sigma))));
    }
  }
  const double total = pairwise_sum(gaussian.data(), gaussian.size());
  std::vector<float> weights;
  for (double value : gaussian) weights.push_back(static_cast<float>(1.0 - value / total));
  return weights;
}

KnnSettings knn_of(const Json& value) {
  check_known(value, {"k", "window", "sigma", "cutoff_m"}, "KnnSettings");
  const auto given = [&](const char* key, const Json& usual) {
    const Json* found = find(value, key);
    return found ? *found : usual;
  };
  const Json k = given("k", 5), window = given("window", 5);
  if (!k.is_number_integer() || !window.is_number_integer()) {
    data_error("Expected whole numbers for window and k, found " + repr(window) + ", " + repr(k) + ".");
  }
  const auto side = window.get<int64_t>(), votes = k.get<int64_t>();
  if (side < 1 || side > 31 || side % 2 == 0) {
    data_error("The k-NN window is " + std::to_string(side) + "; expected an odd number of pixels up to 31.");
  }
  if (votes < 1 || votes > side * side) {
    data_error("The k-NN k is " + std::to_string(votes) + "; expected 1 to window * window = " +
               std::to_string(side * side) + ".");
  }
  const Json stated_sigma = given("sigma", 1.0), stated_cutoff = given("cutoff_m", 1.0);
  const double sigma = number_of(stated_sigma), cutoff_m = number_of(stated_cutoff);
  if (!(sigma >= 1e-3 && std::isfinite(sigma) && cutoff_m > 0 && std::isfinite(cutoff_m))) {
    data_error("Expected a finite sigma of at least 0.001 and a finite, positive cutoff_m, found " +
               repr(stated_sigma) + " and " + repr(stated_cutoff) + ".");
  }
  return {static_cast<int32_t>(votes), static_cast<int32_t>(side), static_cast<float>(cutoff_m),
          weights_of(static_cast<int32_t>(side), sigma)};
}

// The axes of a frame: its name, or three axes of the file that point forward, left and up.
void read_axes(const std::string& frame, Coordinates& coordinates) {
  std::string axes = frame;
  if (frame == "x-forward") axes = "x y z";
  if (frame == "y-forward") axes = "y -x z";
  if (frame == "z-forward") axes = "z -x -y";
  std::vector<std::string> parts;
  for (size_t at = 0; at < axes.size();) {
    const size_t start = axes.find_first_not_of(" \t\n\r\f\v", at);
    if (start == std::string::npos) break;
    at = std::min(axes.find_first_of(" \t\n\r\f\v", start), axes.size());
    parts.push_back(axes.substr(start, at - start));
  }
  std::set<int> used;
  for (size_t i = 0; i < parts.size() && parts.size() == 3; ++i) {
    const bool has_sign = parts[i][0] == '-' || parts[i][0] == '+';
    const std::string name = parts[i].substr(has_sign ? 1 : 0);
    if (name.size() != 1 || name[0] < 'x' || name[0] > 'z') break;
    coordinates.columns[i] = name[0] - 'x';
    coordinates.signs[i] = parts[i][0] == '-' ? -1 : 1;
    used.insert(coordinates.columns[i]);
  }
  if (parts.size() != 3 || used.size() != 3) {
    throw StatementError("ValueError", "the frame is " + repr(frame) +
                                           "; expected one of x-forward, y-forward, z-forward, or the axes of the "
                                           "file that point forward, left and up, such as 'x -y -z'");
  }
}

Coordinates coordinates_of(const Json& value) {
  Coordinates coordinates;
  const Json *frame = find(value, "frame"), *unit = find(value, "unit_m"), *origin = find(value, "origin_m");
  if (frame) read_axes(text_of(*frame), coordinates);
  if (unit) coordinates.unit_m = number_of(*unit);
  if (!(1e-6 <= coordinates.unit_m && coordinates.unit_m <= 1e3)) {
    throw StatementError("ValueError",
                         "unit_m is " + repr(coordinates.unit_m) + "; expected 1e-06 to 1000 metres");
  }
  if (!origin) return coordinates;
  const std::vector<double> numbers = numbers_of(*origin);
  if (numbers.size() != 3) {
    throw StatementError("ValueError",
                         "origin_m is " + list_repr(numbers) + "; expected three finite numbers, in metres");
  }
  std::copy(numbers.begin(), numbers.end(), coordinates.origin_m.begin());
  return coordinates;
}

void read_intensity_range(const Json& value, Deployment& deployment) {
  const std::vector<double> range = numbers_of(member_of(value, "intensity_range"));
  if (range.size() != 2) throw StatementError("ValueError", "the intensity range has not two ends");
  if (!(range[1] - range[0] > 0.0 && std::isfinite(range[1] - range[0]))) {
    throw StatementError("ValueError", "the intensity range is " + repr(range[0]) + " to " + repr(range[1]));
  }
  deployment.lowest_intensity = range[0];
  deployment.highest_intensity = range[1];
}

Deployment deployment_of(const Json& value) {
  Deployment deployment;
  deployment.projection = projection_of(member_of(value, "projection"));
  deployment.normalisation = normalisation_of(member_of(value, "normalisation"));
  deployment.knn = knn_of(member_of(value, "knn"));
  deployment.label_map = label_map_of(member_of(value, "label_map"));
  read_intensity_range(value, deployment);
  if (const Json* format = find(value, "scan_format")) {
    if (const Json* name = find(*format, "name")) deployment.scan_format = text_of(*name);
    if (const Json* options = find(*format, "options")) {
      if (!options->is_object()) {
        throw StatementError("TypeError", "the options of the scan format are " + repr(*options));
      }
      deployment.scan_options = options->dump();
    }
  }
  deployment.coordinates = coordinates_of(value);
  const Json* sensor = find(value, "sensor");
  deployment.sensor = sensor ? repr(*sensor) : "None";
  return deployment;
}

// Compares the network's interface with what pre- and post-processing make of it.
void check_shapes(const Manifest& manifest, const Deployment& deployment) {
  const ProjectionSettings& image = deployment.projection;
  const auto classes = static_cast<int64_t>(deployment.label_map.class_names.size());
  const std::vector<std::vector<int64_t>> expected = {{1, 5, image.height, image.width},
                                                      {1, classes, image.height, image.width}};
  std::vector<std::vector<int64_t>> found;
  std::vector<std::string> shown;
  for (const auto* tensors : {&manifest.inputs, &manifest.outputs}) {
    for (const TensorSpec& tensor : *tensors) {
      found.push_back(tensor.shape);
      shown.push_back(repr(tensor.shape));
    }
  }
  if (found == expected && manifest.inputs.size() == 1) return;
  throw Error(ErrorKind::kBundle, "The projection and label map of " + manifest.directory + " need a network " +
                                      repr(expected[0]) + " to " + repr(expected[1]) +
                                      ", but its inputs and outputs are [" + joined(shown, ", ") +
                                      "]. Export it again.");
}

std::string task_of(const Manifest& manifest) {
  const Json* name = find(manifest.content->at("task"), "name");
  return repr(std::string_view(!name ? "None" : name->is_string() ? name->get<std::string>() : repr(*name)));
}

}  // namespace

void data_error(const std::string& message) { throw StatementError("DataError", message); }

StatementError::StatementError(const std::string& type, const std::string& message)
    : std::runtime_error(type + "(" + repr(message) + ")") {}

const Json& member_of(const Json& value, const char* key) {
  const Json* found = find(value, key);
  if (!found) throw StatementError("KeyError", key);
  return *found;
}

double number_of(const Json& value) {
  if (!value.is_number()) throw StatementError("TypeError", repr(value) + " is no number");
  const double number = value.get<double>();
  if (!std::isfinite(number)) throw StatementError("ValueError", repr(value) + " is no finite number");
  return number;
}

std::vector<double> numbers_of(const Json& value) {
  if (!value.is_array()) throw StatementError("TypeError", repr(value) + " is no list of numbers");
  std::vector<double> numbers;
  for (const Json& number : value) numbers.push_back(number_of(number));
  return numbers;
}

int64_t whole_number_of(const Json& value) {
  if (!value.is_number_integer()) throw StatementError("TypeError", repr(value) + " is no whole number");
  return value.get<int64_t>();
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : repr(value);
}

void refuse_deployment(const Manifest& manifest, const StatementError& error) {
  throw Error(ErrorKind::kBundle,
              manifest.directory + " does not say how to label LiDAR points (" + error.what() +
                  "); it is for the task " + task_of(manifest) +
                  ". The processor 'lidar-range-view' needs what 'lidar-segmentation' says.");
}

Deployment read_deployment(const Manifest& manifest) {
  const std::string processor = manifest.content->at("processor");
  if (processor != kProcessor) {
    throw Error(ErrorKind::kPlugin, manifest.directory + " is a bundle for the task " + task_of(manifest) +
                                        " with the processor " + repr(processor) +
                                        "; points need one with 'lidar-range-view'.");
  }
  try {
    Deployment deployment = deployment_of(manifest.content->at("deployment"));
    check_shapes(manifest, deployment);
    return deployment;
  } catch (const StatementError& error) {
    refuse_deployment(manifest, error);
  }
}

}  // namespace hwnas::runtime

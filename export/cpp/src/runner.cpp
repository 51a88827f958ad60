#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <mutex>
#include <string>
#include <utility>

#include "../angles.h"
#include "../lanes.h"
#include "../scratch.h"
#include "deployment.h"
#include "engines.h"
#include "exponential.h"
#include "files.h"
#include "grids.h"
#include "hwnas_runtime/runtime.hpp"
#include "json.h"
#include "manifest.h"
#include "projection.h"
#include "runner_parts.h"
#include "scan_checks.h"
#include "text.h"
#include "thread_counts.h"

namespace hwnas::runtime {
namespace {

constexpr uint8_t kNoLabel = 255;

double elapsed_ms(std::chrono::steady_clock::time_point& since) {
  const auto now = std::chrono::steady_clock::now();
  return std::chrono::duration<double, std::milli>(now - std::exchange(since, now)).count();
}

std::string in_words(const std::vector<TensorSpec>& inputs, const std::vector<TensorSpec>& outputs) {
  std::vector<std::string> parts;
  for (const auto* tensors : {&inputs, &outputs}) {
    for (const TensorSpec& tensor : *tensors) {
      parts.push_back("(" + repr(tensor.name) + ", " + repr(tensor.shape) + ")");
    }
  }
  return "[" + joined(parts, ", ") + "]";
}

// Compares names and shapes that the file of the network states with those of the manifest.
void check_interface(const Session& session, const Manifest& manifest) {
  const std::string expected = in_words(manifest.inputs, manifest.outputs);
  const std::string found = in_words(session.inputs(), session.outputs());
  if (found != expected) {
    throw Error(ErrorKind::kBundle, "The manifest of " + manifest.directory + " states a network " + expected +
                                        ", but its file is one " + found + ". Export it again.");
  }
}

// Refuses INT8 in TensorRT's dialect with float16 scales where ONNX Runtime computes it wrongly: 1.18 to 1.29 were
// seen to truncate halves.
void check_rounding(const Json& entry, const std::string& path, const std::string& version) {
  const Json* details = find(entry, "details");
  const Json* dialect = details ? find(*details, "dialect") : nullptr;
  if (!dialect || *dialect != "tensorrt" || find(*details, "scales")) return;
  int major = 0, minor = 0;
  if (std::sscanf(version.c_str(), "%d.%d", &major, &minor) < 1 || std::pair(major, minor) >= std::pair(1, 30)) return;
  throw Error(ErrorKind::kBundle, path + " is INT8 for TensorRT with float16 scales, which onnxruntime " + version +
                                      " computes wrongly. Export it again, use another precision, or install "
                                      "onnxruntime 1.30 or later.");
}

std::unique_ptr<Session> open_network(const Manifest& manifest, const Options& options) {
  const bool is_engine = options.backend != kOnnxRuntime;
  const Json* entry = is_engine ? nullptr : &entry_for(manifest, options.precision);
  const std::string path = is_engine ? engine_of(manifest, options.backend, options.precision)
                                     : path_in(manifest.directory, (*entry)["file"]);
  std::unique_ptr<Session> session;
  if (options.open_session) {
    session = options.open_session(path);
    if (!session) throw Error(ErrorKind::kArgument, "`open_session` must return a session, but returned none.");
  } else if (is_engine) {
    session = open_tensorrt_session(path, options.tensorrt);
  } else {
    std::string version;
    session = open_onnxruntime_session(path, options.onnxruntime, &version);
    check_rounding(*entry, path, version);
  }
  check_interface(*session, manifest);
  return session;
}

ScanChecks checks_of(const Manifest& manifest, const Deployment& deployment, bool are_wanted) {
  const Json* expects = find(*manifest.content, "expects");
  try {
    std::optional<ScanExpectations> found;
    if (expects && !expects->is_null() && !expects->empty()) found = read_expectations(*expects);
    if (!are_wanted) found.reset();
    const ProjectionSettings& projection = deployment.projection;
    return ScanChecks(std::move(found), projection.is_ring, static_cast<size_t>(projection.height));
  } catch (const StatementError& error) {
    refuse_deployment(manifest, error);
  }
}

// Of some values the least and the most, and how many are no finite numbers; those two are then of no use.
struct Extent {
  float least = 0.0f, most = 0.0f;
  int64_t strange = 0;
};

Extent extent_of(const std::vector<float>& values) {
  Extent extent;
  if (values.empty()) return extent;
  Floats least = all_of(values[0]), most = least;
  Words strange{};
  const auto take = [&](Floats four) {
    least = lower_of(four, least);
    most = higher_of(four, most);
    strange -= ~(size_of(four) <= std::numeric_limits<float>::max());
  };
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) take(load(values.data() + i));
  for (; i < values.size(); ++i) take(Floats{values[i], values[0], values[0], values[0]});
  extent.least = least[0];
  extent.most = most[0];
  for (size_t lane = 0; lane < kLanes; ++lane) {
    extent.least = std::min(extent.least, least[lane]);
    extent.most = std::max(extent.most, most[lane]);
    extent.strange += strange[lane];
  }
  return extent;
}

// Why intensities of points with a direction cannot be used; empty if they can.
std::string intensity_problem(const std::vector<float>& values, const Deployment& deployment) {
  const double low = deployment.lowest_intensity, high = deployment.highest_intensity;
  const Extent extent = extent_of(values);
  if (extent.strange) {
    const auto is_strange = [](float value) { return !std::isfinite(value); };
    return std::to_string(std::count_if(values.begin(), values.end(), is_strange)) +
           " points that have a position have an intensity that is no finite number; expected " +
           format("%g to %g. Set it to %g where the sensor gives none.", low, high, low);
  }
  if (values.empty()) return "";
  // Rounding when a tool rescaled the intensities; anything beyond is another unit.
  const double tolerance = 1e-5 * (high - low);
  if (static_cast<float>(low - tolerance) <= extent.least && extent.most <= static_cast<float>(high + tolerance)) {
    return "";
  }
  const auto ends = std::minmax_element(values.begin(), values.end());  // which tells 0 from -0
  return format("Intensities must lie in %g to %g, the range of the sensor ", low, high) + deployment.sensor +
         format(" that the network was trained for, but they are %g to %g. Convert them to that unit.",
                static_cast<double>(*ends.first), static_cast<double>(*ends.second));
}

// Intensities as 0 to 1.
void rescale(const std::vector<float>& intensity, float low, float span, std::vector<float>& remission) {
  for (size_t i = 0; i < intensity.size(); ++i) {
    remission[i] = std::min(std::max((intensity[i] - low) / span, 0.0f), 1.0f);
  }
}

}  // namespace

void Runner::Parts::take_in(const Scan& scan) {
  points.resize(3 * scan.count);
  intensity.resize(scan.count);
  index.resize(scan.count);
  size_t kept = 0;
  for (size_t i = 0; i < scan.count; ++i) {
    // The next point takes the place of one without a direction.
    const float* point = scan.points + i * scan.point_stride;
    float* copy = points.data() + 3 * kept;
    copy[0] = point[0];
    copy[1] = point[1];
    copy[2] = point[2];
    intensity[kept] = scan.intensity[i * scan.intensity_stride];
    index[kept] = static_cast<uint32_t>(i);
    kept += has_direction(point);
  }
  points.resize(3 * kept);
  intensity.resize(kept);
  index.resize(kept);
  take_in(scan.ring, ring);
  take_in(scan.time, time);
}

template <typename T>
void Runner::Parts::take_in(const T* given, std::vector<T>& kept) const {
  kept.resize(given ? index.size() : 0);
  for (size_t i = 0; i < kept.size(); ++i) kept[i] = given[index[i]];
}

void Runner::Parts::check_ring(const Scan& scan) {
  if (!scan.ring || !scan.count) return;
  const auto ends = std::minmax_element(scan.ring, scan.ring + scan.count);
  if (*ends.first < 0) {
    throw Error(ErrorKind::kData, "Rings count from 0 or 1, but are " + std::to_string(*ends.first) + " to " +
                                      std::to_string(*ends.second) + ".");
  }
}

// Rings of a cloud that keeps the grid of the sensor, which its holes are part of.
bool Runner::Parts::find_grid(const Scan& scan) {
  if (scan.ring || !deployment.projection.is_ring || index.size() == scan.count) return false;
  Vector<float> all(3 * scan.count);
  for (size_t i = 0; i < scan.count; ++i) std::copy_n(scan.points + i * scan.point_stride, 3, all.begin() + 3 * i);
  Vector<int32_t> found;
  if (!rings_of_grid(all.data(), static_cast<int64_t>(scan.count), found)) return false;
  grid_ring.clear();
  for (uint32_t i : index) grid_ring.push_back(found[i]);
  return true;
}

void Runner::Parts::project_scan(const Scan& scan, std::string& intensity_trouble, std::string& row_trouble) {
  check_ring(scan);
  take_in(scan);
  intensity_trouble = intensity_problem(intensity, deployment);
  remission.assign(intensity.size(), 0.0f);
  if (intensity_trouble.empty()) {
    const auto low = static_cast<float>(deployment.lowest_intensity);
    const auto span = static_cast<float>(deployment.highest_intensity - deployment.lowest_intensity);
    rescale(intensity, low, span, remission);
  }
  const int32_t* given = scan.ring ? ring.data() : find_grid(scan) ? grid_ring.data() : nullptr;
  project(points.data(), remission.data(), given, static_cast<int64_t>(index.size()), deployment.projection, image,
          row_trouble);
}

void Runner::Parts::check_scan(const Scan& scan, const std::string& intensity_trouble,
                               const std::string& row_trouble, Result& result) {
  Vector<const std::string*> problems;
  if (!row_trouble.empty()) problems.push_back(&row_trouble);
  if (!intensity_trouble.empty()) problems.push_back(&intensity_trouble);
  CheckedScan checked;
  checked.num_points = scan.count;
  checked.points = points.data();
  checked.intensity = intensity.data();
  checked.count = index.size();
  checked.ring = scan.ring ? ring.data() : nullptr;
  checked.time = scan.time ? time.data() : nullptr;
  checked.image = row_trouble.empty() ? &image : nullptr;
  result.warnings.clear();
  if (*image.remark && row_trouble.empty()) result.warnings.emplace_back(image.remark);
  checks.check(checked, problems, result.warnings);
  if (!row_trouble.empty()) throw Error(ErrorKind::kData, row_trouble);
}

void Runner::Parts::label_scan(size_t count, Result& result) {
  const auto classes = static_cast<int32_t>(deployment.label_map.class_names.size());
  label_pixels(logits, classes, image, label_image);
  kept_labels.resize(index.size());
  label_points(label_image, image, deployment.projection, deployment.knn, classes, kept_labels.data());
  result.labels.assign(count, kNoLabel);
  for (size_t i = 0; i < index.size(); ++i) result.labels[index[i]] = kept_labels[i];
}

void Runner::Parts::score_scan(size_t count, Result& result) {
  const size_t pixels = image.valid.size();
  sum_scores(logits, static_cast<int32_t>(deployment.label_map.class_names.size()), pixels, softmax);
  result.scores.assign(count, 0.0f);
  for (size_t i = 0; i < index.size(); i += kLanes) {
    const size_t number = std::min(kLanes, index.size() - i);
    Floats above{}, highest{}, total = all_of(1.0f);
    for (size_t lane = 0; lane < number; ++lane) {
      if (kept_labels[i + lane] == kNoLabel) continue;
      const size_t pixel =
          static_cast<size_t>(image.row[i + lane]) * static_cast<size_t>(deployment.projection.width) +
          static_cast<size_t>(image.column[i + lane]);
      above[lane] = logits[kept_labels[i + lane] * pixels + pixel];
      highest[lane] = softmax.highest[pixel];
      total[lane] = softmax.total[pixel];
    }
    const Floats scores = exponential(above - highest) / total;
    for (size_t lane = 0; lane < number; ++lane) {
      result.scores[index[i + lane]] = kept_labels[i + lane] == kNoLabel ? 0.0f : scores[lane];
    }
  }
}

Runner::Runner(const std::string& bundle, const Options& options) : parts_(std::make_unique<Parts>()) {
  Parts& parts = *parts_;
  check_threads(options.onnxruntime.threads);
  const Manifest manifest = read_manifest(bundle, options.trust);
  parts.deployment = read_deployment(manifest);
  parts.architecture_id = text_of(manifest.content->at("architecture_id"));
  parts.checks = checks_of(manifest, parts.deployment, options.check_scans);
  parts.session = open_network(manifest, options);
  parts.logits.resize(parts.deployment.label_map.class_names.size() *
                      static_cast<size_t>(parts.deployment.projection.height) *
                      static_cast<size_t>(parts.deployment.projection.width));
}

Runner::~Runner() = default;
Runner::Runner(Runner&&) noexcept = default;
Runner& Runner::operator=(Runner&&) noexcept = default;

void Runner::label(const Scan& scan, Result& result, bool with_scores, StepTimes* times) {
  Parts& parts = *parts_;
  if (scan.count && (!scan.points || !scan.intensity || scan.point_stride < 3 || !scan.intensity_stride)) {
    throw Error(ErrorKind::kArgument,
                "A scan needs `points` with a stride of at least 3, and `intensity` with one of at least 1.");
  }
  if (scan.count > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    throw Error(ErrorKind::kData, "A scan has at most 2147483647 points, but this one has " +
                                      std::to_string(scan.count) + ".");
  }
  const std::lock_guard<std::mutex> lock(parts.mutex);
  const ArenaScope scope(parts.arena);
  StepTimes unwanted;
  StepTimes& taken = times ? *times : unwanted;
  auto clock = std::chrono::steady_clock::now();
  std::string intensity_trouble, row_trouble;
  parts.project_scan(scan, intensity_trouble, row_trouble);
  taken.project_ms = elapsed_ms(clock);
  parts.check_scan(scan, intensity_trouble, row_trouble, result);
  taken.check_ms = elapsed_ms(clock);
  normalise(parts.image, parts.deployment.normalisation, parts.input);
  taken.project_ms += elapsed_ms(clock);
  parts.session->run(parts.input.data(), parts.logits.data());
  taken.network_ms = elapsed_ms(clock);
  parts.label_scan(scan.count, result);
  taken.label_ms = elapsed_ms(clock);
  result.scores.clear();
  if (with_scores) parts.score_scan(scan.count, result);
  taken.score_ms = elapsed_ms(clock);
  result.projection = name_of(parts.image.rows);
}

void Runner::warm_up() {
  const std::lock_guard<std::mutex> lock(parts_->mutex);
  const ProjectionSettings& image = parts_->deployment.projection;
  parts_->input.assign(parts_->deployment.normalisation.mean.size() * static_cast<size_t>(image.height) *
                           static_cast<size_t>(image.width),
                       0.0f);
  parts_->session->run(parts_->input.data(), parts_->logits.data());
}

const std::vector<std::string>& Runner::class_names() const { return parts_->deployment.label_map.class_names; }
const std::vector<std::array<uint8_t, 3>>& Runner::class_colors() const { return parts_->deployment.label_map.colors; }
const std::string& Runner::architecture_id() const { return parts_->architecture_id; }
uint32_t Runner::raw_id_of(uint8_t label) const { return parts_->deployment.label_map.raw_ids[label]; }
double Runner::lowest_intensity() const { return parts_->deployment.lowest_intensity; }
double Runner::highest_intensity() const { return parts_->deployment.highest_intensity; }
int Runner::height() const { return parts_->deployment.projection.height; }
int Runner::width() const { return parts_->deployment.projection.width; }

const char* version() { return HWNAS_RUNTIME_VERSION; }

}  // namespace hwnas::runtime

// Runs a bundle of hwnas on LiDAR scans, without Python.
//
//     hwnas::runtime::Runner runner("bundles/4f1c...");
//     hwnas::runtime::Result result;
//     runner.label({points, intensity, count}, result);  // result.labels, result.scores, result.warnings
//
// Conventions: x forward, y left, z up, in metres, origin in the sensor; intensity in the sensor's own unit; labels
// are train ids: the index of the class in `class_names()`, 255 for no class. For equal bundles and scans labels
// are equal to those of `hwnas.Runner` to the bit, with the same ONNX Runtime.

#ifndef HWNAS_RUNTIME_RUNTIME_HPP_
#define HWNAS_RUNTIME_RUNTIME_HPP_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "error.hpp"
#include "session.hpp"

namespace hwnas::runtime {

/// Whose bundles may be run.
struct Trust {
  std::string allowed_signers;  ///< file with a line `IDENTITY KEYTYPE KEY` for each key that may sign, see ssh-keygen(1)
  std::string identity;         ///< who must have signed, such as `fleet@example.com`
};

struct Options {
  /// That the bundle holds, such as `fp32` or `int8`; or `recommended` for what was found best on its target.
  std::string precision = "fp32";
  /// What computes the network: `onnxruntime`, or `tensorrt` or `tensorrt-rtx`, whichever this library was built with,
  /// with the engine that was exported into the bundle for this GPU and version.
  std::string backend = "onnxruntime";
  /// False takes scans that contradict the manifest, too, as long as their values can be understood.
  bool check_scans = true;
  /// Who must have signed the bundle, which `ssh-keygen` checks; empty takes unsigned ones, too.
  std::optional<Trust> trust;
  OnnxRuntimeOptions onnxruntime;
  TensorRtOptions tensorrt;
  /// Opens the ONNX file of the precision, or the engine, in place of the backend; empty for the backend.
  std::function<std::unique_ptr<Session>(const std::string& path)> open_session;
};

/// N points. Pointers must stay valid during the call alone.
struct Scan {
  const float* points = nullptr;     ///< [N][3]: x forward, y left, z up in metres; see `point_stride`
  const float* intensity = nullptr;  ///< [N], in the sensor's own unit; see `intensity_stride`
  size_t count = 0;                  ///< N, which may be 0
  const int32_t* ring = nullptr;     ///< [N] as a driver numbers them, from either end; or null
  const double* time = nullptr;      ///< [N] when each point was measured, in any unit; or null
  size_t point_stride = 3;           ///< floats from one point to the next: 4 for x, y, z, intensity
  size_t intensity_stride = 1;       ///< floats from one intensity to the next
};

/// What a network says about a scan. Pass the same object to `label` again to reuse its memory.
struct Result {
  std::vector<uint8_t> labels;        ///< [N] train ids; 255 for points that are not finite or lie at the origin
  std::vector<float> scores;          ///< [N] probability of the label in the pixel of the point; 0 for label 255
  std::vector<std::string> warnings;  ///< what is unusual about the scan, or could not be checked; sentences
  std::string projection;             ///< how rows were found: ring, beams or spherical
};

/// Times of the steps of one call, in milliseconds.
struct StepTimes {
  double project_ms = 0, check_ms = 0, network_ms = 0, label_ms = 0, score_ms = 0;
};

/// A bundle that was checked, with its network loaded. Several threads may call one runner; they wait for each
/// other. Different runners share nothing but the loaded ONNX Runtime.
class Runner {
 public:
  /// Checks a bundle, every file of it, and loads its network.
  ///
  /// Throws Error: kArgument if an option is wrong, such as thousands of threads; kBundle if the bundle is changed, incomplete, not signed as `Options::trust` wants or does not say
  /// how to label points, or if ONNX Runtime is missing or refuses the model; kPlugin if the bundle is for something else than LiDAR points.
  explicit Runner(const std::string& bundle, const Options& options = {});
  ~Runner();
  Runner(Runner&&) noexcept;
  Runner& operator=(Runner&&) noexcept;

  /// Labels one scan.
  ///
  /// with_scores: false leaves `Result::scores` empty and saves their time.
  /// times: out, or null.
  /// Throws Error: kData if an intensity is outside the range or the scan contradicts the manifest, with the words
  /// of hwnas; kBundle if the network cannot be computed.
  void label(const Scan& scan, Result& result, bool with_scores = true, StepTimes* times = nullptr);

  /// Computes the network once, of zeros: what fails then is told now, and the first scan takes as long as the others.
  ///
  /// Throws Error: kBundle if the network cannot be computed.
  void warm_up();

  const std::vector<std::string>& class_names() const;
  /// Red, green and blue of each class.
  const std::vector<std::array<uint8_t, 3>>& class_colors() const;
  /// Id of the architecture, as the manifest states it.
  const std::string& architecture_id() const;
  /// The id of a train id in files of the label map's data set: the first of the class; of 255 one that means none.
  uint32_t raw_id_of(uint8_t label) const;
  /// Lowest and highest intensity of the sensor.
  double lowest_intensity() const;
  double highest_intensity() const;
  int height() const;
  int width() const;

 private:
  struct Parts;
  friend class ScanFiles;
  friend class StoredClouds;
  std::unique_ptr<Parts> parts_;
};

/// A scan that was read from a file, in the frame of the sensor.
struct StoredScan {
  std::vector<float> points;     ///< [N][3]
  std::vector<float> intensity;  ///< [N]
  std::vector<int32_t> ring;     ///< [N], or empty
  std::vector<double> time;      ///< [N], or empty

  Scan view() const {
    return {points.data(), intensity.data(), intensity.size(), ring.empty() ? nullptr : ring.data(),
            time.empty() ? nullptr : time.data()};
  }
};

/// Reads scan files laid out as those that the network of a runner was trained on.
class ScanFiles {
 public:
  explicit ScanFiles(const Runner& runner) : runner_(&runner) {}

  /// Reads a `.bin` file of equal records.
  ///
  /// Throws Error (kData) if it is missing, malformed, or seems to have another number of columns.
  StoredScan read(const std::string& path) const;

 private:
  const Runner* runner_;
};

/// Clouds that come from elsewhere than `.bin` files, such as messages: what the bundle states of their format, and
/// the way into the frame of the sensor.
class StoredClouds {
 public:
  /// format: as data sets call it, such as `rosbag`; what the bundle states of another one does not count.
  StoredClouds(const Runner& runner, const std::string& format);
  ~StoredClouds();

  /// An option of the format, such as the name of a field; nothing where the bundle states none.
  ///
  /// Throws Error (kData) if the bundle states something else than a text, or a number.
  std::optional<std::string> text_option(const char* name) const;
  std::optional<double> number_option(const char* name) const;

  /// Fills `scan.points` with points in the frame of the sensor, in metres. Of an organised cloud without rings, the
  /// rings are those of its rows, if it keeps the grid of the sensor.
  ///
  /// points: [height * width][3] as they are stored.
  /// height, width: rows and columns; of a list of points one is 1.
  void to_sensor_frame(const float* points, size_t height, size_t width, StoredScan& scan) const;
  void to_sensor_frame(const double* points, size_t height, size_t width, StoredScan& scan) const;

 private:
  struct Stated;
  template <typename T>
  void turn(const T* points, size_t height, size_t width, StoredScan& scan) const;
  const Runner* runner_;
  std::unique_ptr<const Stated> stated_;
};

/// Version of this library: that of hwnas.
const char* version();

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_RUNTIME_HPP_

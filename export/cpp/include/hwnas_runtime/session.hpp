// The network of a bundle, whatever computes it.

#ifndef HWNAS_RUNTIME_SESSION_HPP_
#define HWNAS_RUNTIME_SESSION_HPP_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace hwnas::runtime {

/// Name and static shape of a float32 tensor.
struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
};

/// A loaded network with one input and one output, float32. One thread at a time.
class Session {
 public:
  virtual ~Session() = default;
  virtual const std::vector<TensorSpec>& inputs() const = 0;
  virtual const std::vector<TensorSpec>& outputs() const = 0;

  /// Computes one sample.
  ///
  /// input, output: as many numbers as the shapes have, in C order.
  /// Throws Error (kBundle) if the runtime cannot compute it.
  virtual void run(const float* input, float* output) = 0;
};

/// How ONNX Runtime is found and used.
struct OnnxRuntimeOptions {
  /// Of one inference; 0 means one for every core. At most 64, or four for each core where those are more.
  int threads = 1;
  /// Path of libonnxruntime.so. Empty: the environment variable HWNAS_ONNXRUNTIME_LIBRARY names it, or else the
  /// loader finds `libonnxruntime.so.1` or `libonnxruntime.so`.
  std::string library;
};

/// Loads an ONNX file with ONNX Runtime, on the CPU, as the Python package does: sums of INT8 without overflow
/// on every processor, telemetry off unless the environment variable ORT_DISABLE_TELEMETRY says otherwise.
///
/// path: of a file with float32 inputs and outputs of fixed sizes.
/// version: out, of ONNX Runtime; may be null.
/// Throws Error: kBundle if the library is missing or refuses the file; kArgument if there are too many threads.
std::unique_ptr<Session> open_onnxruntime_session(const std::string& path, const OnnxRuntimeOptions& options,
                                                  std::string* version = nullptr);

/// How TensorRT is used.
struct TensorRtOptions {
  int device = 0;           ///< number of the GPU
  bool is_captured = true;  ///< what an inference enqueues is captured once in a CUDA graph and launched as one
};

/// Loads an engine with TensorRT, from a library that was built with `-DHWNAS_TENSORRT=ON`. Loading runs native code of
/// the file: open engines of bundles that are signed.
///
/// path: of an engine with float32 inputs and outputs of fixed sizes, in the usual order of numbers.
/// Throws Error (kBundle) if the library was built without TensorRT, or TensorRT or CUDA refuse the engine.
std::unique_ptr<Session> open_tensorrt_session(const std::string& path, const TensorRtOptions& options);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SESSION_HPP_

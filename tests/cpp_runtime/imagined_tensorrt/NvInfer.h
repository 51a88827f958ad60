// An imagined TensorRT: what of it the session calls, declared as its documentation has it. An engine is a text with a
// line for each tensor: `input range_image float32 1 5 16 256`. It computes what FakeSession computes.

#ifndef IMAGINED_NV_INFER_H_
#define IMAGINED_NV_INFER_H_

#include <cstdint>
#include <cstdio>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "cuda_runtime_api.h"

namespace nvinfer1 {

using AsciiChar = char;

enum class DataType : int32_t { kFLOAT = 0, kHALF = 1, kINT8 = 2, kINT32 = 3, kBOOL = 4, kUINT8 = 5 };
enum class TensorIOMode : int32_t { kNONE = 0, kINPUT = 1, kOUTPUT = 2 };
enum class TensorFormat : int32_t { kLINEAR = 0, kCHW2 = 1 };

struct Dims64 {
  int32_t nbDims;
  int64_t d[8];
};
using Dims = Dims64;

class ILogger {
 public:
  enum class Severity : int32_t { kINTERNAL_ERROR = 0, kERROR = 1, kWARNING = 2, kINFO = 3, kVERBOSE = 4 };
  virtual void log(Severity severity, AsciiChar const* text) noexcept = 0;
  virtual ~ILogger() = default;
};

struct ImaginedTensor {
  std::string name;
  TensorIOMode mode;
  DataType type;
  TensorFormat format;
  Dims shape;
};

class IExecutionContext {
 public:
  IExecutionContext(std::vector<ImaginedTensor> tensors, ILogger& log) : tensors_(std::move(tensors)), log_(log) {}
  virtual ~IExecutionContext() noexcept = default;

  bool setTensorAddress(char const* name, void* address) noexcept {
    addresses_[name] = static_cast<float*>(address);
    return true;
  }

  bool enqueueV3(cudaStream_t stream) noexcept {
    if (imagined::fails("enqueueV3")) {
      log_.log(ILogger::Severity::kERROR, "an imagined fault");
      return false;
    }
    imagined::enqueue(stream, [this] { compute(); });
    return true;
  }

 private:
  void compute() {
    const float* input = addresses_.at(tensors_[0].name);
    float* output = addresses_.at(tensors_[1].name);
    const Dims& shape = tensors_[1].shape;
    const auto classes = static_cast<size_t>(shape.d[1]), pixels = static_cast<size_t>(shape.d[2] * shape.d[3]);
    for (size_t k = 0; k < classes; ++k) {
      for (size_t i = 0; i < pixels; ++i) {
        output[k * pixels + i] = input[i] * (k % 2 ? -1.0f : 1.0f) + static_cast<float>((i / 7 + k) % classes);
      }
    }
  }

  std::vector<ImaginedTensor> tensors_;
  std::map<std::string, float*> addresses_;
  ILogger& log_;
};

class ICudaEngine {
 public:
  ICudaEngine(std::vector<ImaginedTensor> tensors, ILogger& log) : tensors_(std::move(tensors)), log_(log) {}
  virtual ~ICudaEngine() noexcept = default;

  int32_t getNbIOTensors() const noexcept { return static_cast<int32_t>(tensors_.size()); }
  char const* getIOTensorName(int32_t i) const noexcept { return tensors_[static_cast<size_t>(i)].name.c_str(); }
  Dims getTensorShape(char const* name) const noexcept { return named(name).shape; }
  DataType getTensorDataType(char const* name) const noexcept { return named(name).type; }
  TensorIOMode getTensorIOMode(char const* name) const noexcept { return named(name).mode; }
  TensorFormat getTensorFormat(char const* name) const noexcept { return named(name).format; }
  IExecutionContext* createExecutionContext() noexcept {
    if (imagined::fails("createExecutionContext")) return nullptr;
    return new IExecutionContext(tensors_, log_);
  }

 private:
  const ImaginedTensor& named(const std::string& name) const {
    for (const ImaginedTensor& tensor : tensors_) {
      if (tensor.name == name) return tensor;
    }
    std::abort();
  }

  std::vector<ImaginedTensor> tensors_;
  ILogger& log_;
};

class IRuntime {
 public:
  explicit IRuntime(ILogger& log) : log_(log) {}
  // Says how often graphs were launched, for the test to read.
  virtual ~IRuntime() noexcept { std::fprintf(stderr, "%ld graphs launched\n", imagined::launches()); }

  ICudaEngine* deserializeCudaEngine(void const* content, std::size_t size) noexcept {
    std::istringstream lines(std::string(static_cast<const char*>(content), size));
    std::vector<ImaginedTensor> tensors;
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string mode, type;
      ImaginedTensor tensor{};
      words >> mode >> tensor.name >> type;
      if (mode != "input" && mode != "output") {
        log_.log(ILogger::Severity::kINFO, "reading an engine");
        log_.log(ILogger::Severity::kERROR, "this is no engine");
        return nullptr;
      }
      tensor.mode = mode == "input" ? TensorIOMode::kINPUT : TensorIOMode::kOUTPUT;
      tensor.type = type == "float32" ? DataType::kFLOAT : DataType::kHALF;
      for (int64_t size_of_axis = 0; words >> size_of_axis;) tensor.shape.d[tensor.shape.nbDims++] = size_of_axis;
      tensors.push_back(tensor);
    }
    return new ICudaEngine(std::move(tensors), log_);
  }

 private:
  ILogger& log_;
};

inline IRuntime* createInferRuntime(ILogger& log) noexcept { return new IRuntime(log); }

}  // namespace nvinfer1

#endif  // IMAGINED_NV_INFER_H_

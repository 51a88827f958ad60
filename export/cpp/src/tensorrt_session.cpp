// Engines of TensorRT 10 and 11 and of TensorRT for RTX. Written to their documentation: no engine has run with it yet.

#include <NvInfer.h>
#include <cuda_runtime_api.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "files.h"
#include "hwnas_runtime/error.hpp"
#include "hwnas_runtime/session.hpp"
#include "text.h"

namespace hwnas::runtime {
namespace {

namespace trt = nvinfer1;

constexpr uint64_t kMaxEngineBytes = uint64_t{1} << 34;
constexpr size_t kMostSaid = 3;

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::kBundle, message); }

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) refuse(std::string("CUDA cannot ") + what + ": " + cudaGetErrorString(status) + ".");
}

// Keeps the last errors: functions of TensorRT say in their result only that they failed. Called from any thread.
class Log : public trt::ILogger {
 public:
  void log(Severity severity, const char* text) noexcept override {
    if (severity != Severity::kERROR && severity != Severity::kINTERNAL_ERROR) return;
    try {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (said_.size() == kMostSaid) said_.erase(said_.begin());
      said_.emplace_back(text);
    } catch (...) {  // no memory for what went wrong
    }
  }

  std::string said() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return said_.empty() ? "it does not say why" : joined(said_, "; ");
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> said_;
};

const char* name_of(trt::DataType type) {
  switch (type) {
    case trt::DataType::kFLOAT: return "float32";
    case trt::DataType::kHALF: return "float16";
    case trt::DataType::kINT8: return "int8";
    case trt::DataType::kINT32: return "int32";
    case trt::DataType::kBOOL: return "bool";
    case trt::DataType::kUINT8: return "uint8";
    default: return "another type";
  }
}

// A tensor on the GPU, and memory beside it that the GPU reads and writes while the processor goes on.
class Buffer {
 public:
  explicit Buffer(const TensorSpec& tensor) {
    bytes_ = sizeof(float);
    for (int64_t size : tensor.shape) bytes_ *= static_cast<size_t>(size);
    check(cudaMalloc(&device_, bytes_), "reserve memory on the GPU");
    if (cudaMallocHost(&host_, bytes_) != cudaSuccess) {
      cudaFree(device_);
      refuse("CUDA cannot reserve memory that the GPU reaches.");
    }
  }
  ~Buffer() {
    cudaFree(device_);
    cudaFreeHost(host_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* device() const { return device_; }
  void* host() const { return host_; }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
  void* device_ = nullptr;
  void* host_ = nullptr;
};

class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "make a stream"); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// What was enqueued once, to be launched as one.
class Graph {
 public:
  Graph() = default;
  ~Graph() {
    if (graph_) cudaGraphExecDestroy(graph_);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  operator cudaGraphExec_t() const { return graph_; }

  // False if something in it cannot be captured; the stream can be used as before.
  template <typename Enqueue>
  bool capture(cudaStream_t stream, const Enqueue& enqueue) {
    if (cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) return forgiven();
    const bool is_enqueued = enqueue();
    cudaGraph_t captured = nullptr;
    const bool is_whole = cudaStreamEndCapture(stream, &captured) == cudaSuccess && captured;
    const bool is_ready =
        is_enqueued && is_whole && cudaGraphInstantiateWithFlags(&graph_, captured, 0) == cudaSuccess;
    if (captured) cudaGraphDestroy(captured);
    return is_ready || forgiven();
  }

 private:
  // The runtime keeps the last error, and would give it to whoever asks next.
  bool forgiven() {
    cudaGetLastError();
    graph_ = nullptr;
    return false;
  }

  cudaGraphExec_t graph_ = nullptr;
};

class TensorRtSession : public Session {
 public:
  TensorRtSession(const std::string& path, const TensorRtOptions& options)
      : path_(path), device_(options.device), is_captured_(options.is_captured) {
    check(cudaSetDevice(device_), "use the GPU");
    load();
    read_tensors();
    context_.reset(engine_->createExecutionContext());
    if (!context_) refuse("TensorRT cannot run " + path_ + ": " + log_.said() + ".");
    stream_ = std::make_unique<Stream>();
    for (const auto& [tensors, buffers] : {std::pair(&inputs_, &in_), std::pair(&outputs_, &out_)}) {
      for (const TensorSpec& tensor : *tensors) {
        buffers->push_back(std::make_unique<Buffer>(tensor));
        if (!context_->setTensorAddress(tensor.name.c_str(), buffers->back()->device())) {
          refuse("TensorRT cannot run " + path_ + ": " + log_.said() + ".");
        }
      }
    }
  }
  ~TensorRtSession() override {
    if (stream_) cudaStreamSynchronize(*stream_);
  }

  const std::vector<TensorSpec>& inputs() const override { return inputs_; }
  const std::vector<TensorSpec>& outputs() const override { return outputs_; }

  void run(const float* input, float* output) override {
    if (in_.size() != 1 || out_.size() != 1) {
      refuse(path_ + " must have an input and an output, but has " + std::to_string(in_.size()) + " inputs and " +
             std::to_string(out_.size()) + " outputs. Export it again.");
    }
    check(cudaSetDevice(device_), "use the GPU");  // which each thread chooses for itself
    std::memcpy(in_[0]->host(), input, in_[0]->bytes());
    if (graph_) {
      check(cudaGraphLaunch(graph_, *stream_), "launch a graph");
    } else if (!enqueue()) {
      refuse("TensorRT cannot run " + path_ + ": " + log_.said() + ".");
    }
    check(cudaStreamSynchronize(*stream_), "finish an inference");
    std::memcpy(output, out_[0]->host(), out_[0]->bytes());
    // Only after an inference: the first one sets up what may not be captured.
    if (std::exchange(is_captured_, false)) graph_.capture(*stream_, [this] { return enqueue(); });
  }

 private:
  void load() {
    std::string content;
    try {
      content = read_plain_file(path_, kMaxEngineBytes);
    } catch (const SystemError& error) {
      throw Error(ErrorKind::kFileAccess, advice_on(error, path_));
    }
    runtime_.reset(trt::createInferRuntime(log_));
    if (runtime_) engine_.reset(runtime_->deserializeCudaEngine(content.data(), content.size()));
    if (engine_) return;
    refuse("TensorRT cannot load " + path_ + ": " + log_.said() +
           ". An engine runs on the GPU and with the version of TensorRT that it was built for: build it on this "
           "machine with `hwnas export --engine`.");
  }

  void read_tensors() {
    for (int32_t i = 0; i < engine_->getNbIOTensors(); ++i) {
      const char* name = engine_->getIOTensorName(i);
      const trt::Dims shape = engine_->getTensorShape(name);
      TensorSpec tensor{name, {}};
      bool is_fixed = shape.nbDims >= 0;
      for (int32_t axis = 0; axis < shape.nbDims; ++axis) {
        tensor.shape.push_back(shape.d[axis]);
        is_fixed = is_fixed && shape.d[axis] >= 0;
      }
      const trt::DataType type = engine_->getTensorDataType(name);
      const bool is_plain = engine_->getTensorFormat(name) == trt::TensorFormat::kLINEAR;
      if (type != trt::DataType::kFLOAT || !is_fixed || !is_plain) {
        refuse(repr(tensor.name) + " of " + path_ + " must be float32 with fixed sizes, but is " + name_of(type) + " " +
               repr(tensor.shape) + (is_plain ? "" : " in a format of the GPU's own") + ". Export it again.");
      }
      const bool is_input = engine_->getTensorIOMode(name) == trt::TensorIOMode::kINPUT;
      (is_input ? inputs_ : outputs_).push_back(std::move(tensor));
    }
  }

  bool enqueue() {
    bool is_enqueued = true;
    for (const auto& buffer : in_) is_enqueued = is_enqueued && copied(buffer->device(), buffer->host(), *buffer);
    is_enqueued = is_enqueued && context_->enqueueV3(*stream_);
    for (const auto& buffer : out_) is_enqueued = is_enqueued && copied(buffer->host(), buffer->device(), *buffer);
    return is_enqueued;
  }

  bool copied(void* to, const void* from, const Buffer& buffer) const {
    return cudaMemcpyAsync(to, from, buffer.bytes(), cudaMemcpyDefault, *stream_) == cudaSuccess;
  }

  const std::string path_;
  const int device_;
  bool is_captured_;
  Log log_;
  // Destroyed from the last to the first.
  std::unique_ptr<trt::IRuntime> runtime_;
  std::unique_ptr<trt::ICudaEngine> engine_;
  std::unique_ptr<trt::IExecutionContext> context_;
  std::vector<TensorSpec> inputs_, outputs_;
  std::vector<std::unique_ptr<Buffer>> in_, out_;
  std::unique_ptr<Stream> stream_;
  Graph graph_;
};

}  // namespace

std::unique_ptr<Session> open_tensorrt_session(const std::string& path, const TensorRtOptions& options) {
  return std::make_unique<TensorRtSession>(path, options);
}

}  // namespace hwnas::runtime

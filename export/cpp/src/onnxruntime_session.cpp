#include <dlfcn.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "hwnas_runtime/error.hpp"
#include "hwnas_runtime/session.hpp"
#include "onnxruntime_api.h"
#include "text.h"
#include "thread_counts.h"

namespace hwnas::runtime {
namespace {

namespace ort = onnxruntime;

constexpr const char* kTelemetry = "ORT_DISABLE_TELEMETRY";
constexpr const char* kLibrary = "HWNAS_ONNXRUNTIME_LIBRARY";
// Without it, on x86 processors without VNNI, pairs of products of INT8 overflow their 16 bits.
constexpr std::pair<const char*, const char*> kSessionEntry = {"session.x64quantprecision", "1"};

constexpr const char* kCodes[] = {"",          "FAIL",        "INVALID_ARGUMENT",  "NO_SUCHFILE",      "NO_MODEL",
                                  "ENGINE_ERROR", "RUNTIME_EXCEPTION", "INVALID_PROTOBUF", "MODEL_LOADED",
                                  "NOT_IMPLEMENTED", "INVALID_GRAPH", "EP_FAIL"};
constexpr const char* kTypes[] = {"undefined", "float", "uint8",   "int8",   "uint16", "int16",  "int32",
                                  "int64",     "string", "bool", "float16", "double", "uint32", "uint64"};

// A loaded library. It stays loaded, and its environment lives, until the process ends: its threads may outlive
// anything that could end them.
struct Library {
  const ort::Api* api = nullptr;
  ort::Env* env = nullptr;
  std::string version;
};

// Throws std::string with what the library says of a call that failed.
void check(const ort::Api* api, ort::Status* status) {
  if (!status) return;
  const int code = ort::call<int>(api, ort::kGetErrorCode, static_cast<const ort::Status*>(status));
  const char* text = ort::call<const char*>(api, ort::kGetErrorMessage, static_cast<const ort::Status*>(status));
  const bool is_known = code > 0 && code < static_cast<int>(std::size(kCodes));
  const std::string said = "[ONNXRuntimeError] : " + std::to_string(code) + " : " +
                           (is_known ? kCodes[code] : "") + " : " + text;
  ort::call<void>(api, ort::kReleaseStatus, status);
  throw std::string(said);
}

// Keeps telemetry off while it lives. The library reads the variable when its environment is made, not when it is
// loaded, and what it finds holds from then on. Whoever sets the variable, to whatever value, decides otherwise.
class TelemetryOff {
 public:
  TelemetryOff() : is_ours_(!std::getenv(kTelemetry)) {
    if (is_ours_) ::setenv(kTelemetry, "1", 0);
  }
  ~TelemetryOff() {
    if (is_ours_) ::unsetenv(kTelemetry);
  }
  TelemetryOff(const TelemetryOff&) = delete;
  TelemetryOff& operator=(const TelemetryOff&) = delete;

 private:
  bool is_ours_;
};

void* load(const std::string& named, std::string& why) {
  std::vector<std::string> names = {"libonnxruntime.so.1", "libonnxruntime.so"}, reasons;
  if (!named.empty()) names = {named};
  void* handle = nullptr;
  for (const std::string& name : names) {
    handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle) break;
    const char* said = ::dlerror();
    reasons.emplace_back(said ? said : name + ": the loader does not say why");
  }
  if (!handle) why = joined(reasons, "; ");
  return handle;
}

Library opened(const std::string& named, const std::string& model) {
  const TelemetryOff off;
  std::string why;
  void* handle = load(named, why);
  void* symbol = handle ? ::dlsym(handle, "OrtGetApiBase") : nullptr;
  if (handle && !symbol) why = "it has no function OrtGetApiBase";
  Library library;
  if (symbol) {
    const ort::ApiBase* base = reinterpret_cast<ort::GetApiBase>(symbol)();
    library.version = base->get_version_string();
    library.api = base->get_api(ort::kApiVersion);
    if (!library.api) why = "its version " + library.version + " is older than 1.16";
  }
  if (!library.api) {
    throw Error(ErrorKind::kBundle,
                "Running " + model + " needs onnxruntime, which cannot be loaded (" + why +
                    "). Install libonnxruntime 1.16 or later where the loader finds it, or name its file in " +
                    kLibrary + ".");
  }
  try {
    check(library.api, ort::call(library.api, ort::kCreateEnv, ort::kErrorLevel, "hwnas", &library.env));
    check(library.api, ort::call(library.api, ort::kDisableTelemetryEvents,
                                 static_cast<const ort::Env*>(library.env)));
  } catch (const std::string& said) {
    throw Error(ErrorKind::kBundle, "onnxruntime " + library.version + " cannot be used: " + said + ".");
  }
  return library;
}

const Library& library_of(const std::string& given, const std::string& model) {
  static std::mutex mutex;
  static auto& known = *new std::map<std::string, Library>;  // never ends, see Library
  const char* named = std::getenv(kLibrary);
  const std::string path = !given.empty() ? given : named ? named : "";
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = known.find(path);
  return found != known.end() ? found->second : known.emplace(path, opened(path, model)).first->second;
}

class OnnxRuntimeSession : public Session {
 public:
  OnnxRuntimeSession(const std::string& path, const OnnxRuntimeOptions& options)
      : path_(path), library_(library_of(options.library, path)), api_(library_.api) {
    try {
      open(options.threads);
    } catch (const std::string& said) {
      close();
      throw Error(ErrorKind::kBundle, "onnxruntime " + library_.version + " cannot load " + path_ + ": " + said +
                                          ". Copy the file again or export it again.");
    } catch (...) {
      close();
      throw;
    }
  }
  ~OnnxRuntimeSession() override { close(); }
  OnnxRuntimeSession(const OnnxRuntimeSession&) = delete;
  OnnxRuntimeSession& operator=(const OnnxRuntimeSession&) = delete;

  const std::string& version() const { return library_.version; }
  const std::vector<TensorSpec>& inputs() const override { return inputs_; }
  const std::vector<TensorSpec>& outputs() const override { return outputs_; }

  void run(const float* input, float* output) override {
    if (inputs_.empty() || outputs_.empty()) {
      throw Error(ErrorKind::kBundle, path_ + " must have an input and an output, but has " +
                                          std::to_string(inputs_.size()) + " inputs and " +
                                          std::to_string(outputs_.size()) + " outputs. Export it again.");
    }
    try {
      // The library takes inputs as it takes outputs, but does not write to them.
      hold(input_, const_cast<float*>(input), inputs_[0]);
      hold(output_, output, outputs_[0]);
      const char* const names[] = {inputs_[0].name.c_str(), outputs_[0].name.c_str()};
      const ort::Value* const given[] = {input_.value};
      ort::Value* wanted[] = {output_.value};
      check(api_, ort::call(api_, ort::kRun, session_, static_cast<const ort::RunOptions*>(nullptr), names, given,
                            size_t{1}, names + 1, size_t{1}, static_cast<ort::Value**>(wanted)));
    } catch (const std::string& said) {
      throw Error(ErrorKind::kBundle, "onnxruntime cannot run " + path_ + ": " + said +
                                          ". Copy the file again or export it again.");
    }
  }

 private:
  // A tensor of the library around memory of ours.
  struct Held {
    float* data = nullptr;
    ort::Value* value = nullptr;
  };

  void open(int threads) {
    check(api_, ort::call(api_, ort::kCreateCpuMemoryInfo, ort::kDeviceAllocator, ort::kDefaultMemory, &memory_));
    check(api_, ort::call(api_, ort::kCreateSessionOptions, &options_));
    check(api_, ort::call(api_, ort::kSetIntraOpNumThreads, options_, threads));
    check(api_, ort::call(api_, ort::kSetInterOpNumThreads, options_, 1));
    check(api_, ort::call(api_, ort::kSetSessionLogSeverityLevel, options_, ort::kErrorLevel));
    check(api_, ort::call(api_, ort::kAddSessionConfigEntry, options_, kSessionEntry.first, kSessionEntry.second));
    check(api_, ort::call(api_, ort::kCreateSession, static_cast<const ort::Env*>(library_.env), path_.c_str(),
                          static_cast<const ort::SessionOptions*>(options_), &session_));
    read_tensors(ort::kSessionGetInputCount, ort::kSessionGetInputName, ort::kSessionGetInputTypeInfo, inputs_);
    read_tensors(ort::kSessionGetOutputCount, ort::kSessionGetOutputName, ort::kSessionGetOutputTypeInfo, outputs_);
  }

  void read_tensors(ort::Place count_at, ort::Place name_at, ort::Place type_at, std::vector<TensorSpec>& tensors) {
    const ort::Session* session = session_;
    ort::Allocator* allocator = nullptr;
    check(api_, ort::call(api_, ort::kGetAllocatorWithDefaultOptions, &allocator));
    size_t count = 0;
    check(api_, ort::call(api_, count_at, session, &count));
    for (size_t i = 0; i < count; ++i) {
      char* name = nullptr;
      check(api_, ort::call(api_, name_at, session, i, allocator, &name));
      TensorSpec tensor{name, {}};
      check(api_, ort::call(api_, ort::kAllocatorFree, allocator, static_cast<void*>(name)));
      const std::string problem = utf8_problem(tensor.name);
      if (!problem.empty()) {
        throw Error(ErrorKind::kBundle, path_ + " names an input or output in bytes that are not UTF-8: " + problem +
                                            ". Copy the file again or export it again.");
      }
      ort::TypeInfo* type = nullptr;
      check(api_, ort::call(api_, type_at, session, i, &type));
      try {
        read_type(type, tensor);
      } catch (...) {
        ort::call<void>(api_, ort::kReleaseTypeInfo, type);
        throw;
      }
      ort::call<void>(api_, ort::kReleaseTypeInfo, type);
      tensors.push_back(std::move(tensor));
    }
  }

  void read_type(const ort::TypeInfo* type, TensorSpec& tensor) {
    const ort::TensorInfo* info = nullptr;
    check(api_, ort::call(api_, ort::kCastTypeInfoToTensorInfo, type, &info));
    int element = 0;
    if (info) {
      size_t axes = 0;
      check(api_, ort::call(api_, ort::kGetTensorElementType, info, &element));
      check(api_, ort::call(api_, ort::kGetDimensionsCount, info, &axes));
      tensor.shape.resize(axes);
      check(api_, ort::call(api_, ort::kGetDimensions, info, tensor.shape.data(), axes));
    }
    bool is_fixed = true;
    for (int64_t size : tensor.shape) is_fixed = is_fixed && size >= 0;
    if (element == ort::kFloat && is_fixed) return;
    const bool is_known = element > 0 && element < static_cast<int>(std::size(kTypes));
    throw Error(ErrorKind::kBundle, repr(tensor.name) + " of " + path_ +
                                        " must be float32 with fixed sizes, but is tensor(" +
                                        (is_known ? kTypes[element] : "another type") + ") " + repr(tensor.shape) +
                                        ".");
  }

  void hold(Held& held, float* data, const TensorSpec& tensor) {
    if (held.value && held.data == data) return;
    release(held);
    size_t bytes = sizeof(float);
    for (int64_t size : tensor.shape) bytes *= static_cast<size_t>(size);
    check(api_, ort::call(api_, ort::kCreateTensorWithDataAsOrtValue, static_cast<const ort::MemoryInfo*>(memory_),
                          static_cast<void*>(data), bytes, tensor.shape.data(), tensor.shape.size(), ort::kFloat,
                          &held.value));
    held.data = data;
  }

  void release(Held& held) {
    if (held.value) ort::call<void>(api_, ort::kReleaseValue, held.value);
    held = {};
  }

  void close() {
    release(input_);
    release(output_);
    if (session_) ort::call<void>(api_, ort::kReleaseSession, session_);
    if (options_) ort::call<void>(api_, ort::kReleaseSessionOptions, options_);
    if (memory_) ort::call<void>(api_, ort::kReleaseMemoryInfo, memory_);
    session_ = nullptr;
    options_ = nullptr;
    memory_ = nullptr;
  }

  const std::string path_;
  const Library& library_;
  const ort::Api* const api_;
  ort::MemoryInfo* memory_ = nullptr;
  ort::SessionOptions* options_ = nullptr;
  ort::Session* session_ = nullptr;
  Held input_, output_;
  std::vector<TensorSpec> inputs_, outputs_;
};

}  // namespace

std::unique_ptr<Session> open_onnxruntime_session(const std::string& path, const OnnxRuntimeOptions& options,
                                                  std::string* version) {
  check_threads(options.threads);
  auto session = std::make_unique<OnnxRuntimeSession>(path, options);
  if (version) *version = session->version();
  return session;
}

}  // namespace hwnas::runtime

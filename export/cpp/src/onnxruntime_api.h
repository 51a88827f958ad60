// What of the C interface of ONNX Runtime is used here, so that its headers are not needed. The interface is a table
// of functions that is only ever appended to: a function keeps its place in all versions.

#ifndef HWNAS_RUNTIME_SRC_ONNXRUNTIME_API_H_
#define HWNAS_RUNTIME_SRC_ONNXRUNTIME_API_H_

#include <cstddef>
#include <cstdint>

namespace hwnas::runtime::onnxruntime {

// Things of the library, known by their addresses.
struct Status;
struct Env;
struct SessionOptions;
struct Session;
struct RunOptions;
struct MemoryInfo;
struct Value;
struct TypeInfo;
struct TensorInfo;
struct Allocator;

struct Api;

struct ApiBase {
  const Api* (*get_api)(uint32_t version);
  const char* (*get_version_string)();
};

using GetApiBase = const ApiBase* (*)();

constexpr uint32_t kApiVersion = 16;  // of ONNX Runtime 1.16; later libraries know it, too
constexpr int kWarningLevel = 2, kErrorLevel = 3, kFloat = 1, kDeviceAllocator = 0, kDefaultMemory = 0;

// Where functions stand in the table.
enum Place : size_t {
  kGetErrorCode = 1,
  kGetErrorMessage = 2,
  kCreateEnv = 3,
  kDisableTelemetryEvents = 6,
  kCreateSession = 7,
  kRun = 9,
  kCreateSessionOptions = 10,
  kSetSessionLogSeverityLevel = 22,
  kSetIntraOpNumThreads = 24,
  kSetInterOpNumThreads = 25,
  kSessionGetInputCount = 30,
  kSessionGetOutputCount = 31,
  kSessionGetInputTypeInfo = 33,
  kSessionGetOutputTypeInfo = 34,
  kSessionGetInputName = 36,
  kSessionGetOutputName = 37,
  kCreateTensorWithDataAsOrtValue = 49,
  kCastTypeInfoToTensorInfo = 55,
  kGetTensorElementType = 60,
  kGetDimensionsCount = 61,
  kGetDimensions = 62,
  kCreateCpuMemoryInfo = 69,
  kAllocatorFree = 76,
  kGetAllocatorWithDefaultOptions = 78,
  kReleaseStatus = 93,
  kReleaseMemoryInfo = 94,
  kReleaseSession = 95,
  kReleaseValue = 96,
  kReleaseTypeInfo = 98,
  kReleaseSessionOptions = 100,
  kAddSessionConfigEntry = 130,
};

// Calls the function at a place of the table.
template <typename Result = Status*, typename... Arguments>
Result call(const Api* api, Place place, Arguments... arguments) {
  using Function = Result (*)(Arguments...);
  return (*(reinterpret_cast<Function const*>(api) + place))(arguments...);
}

}  // namespace hwnas::runtime::onnxruntime

#endif  // HWNAS_RUNTIME_SRC_ONNXRUNTIME_API_H_

// An imagined GPU: what of the CUDA runtime the session calls, declared as its documentation has it. Memory of the GPU is
// of its own, and what is enqueued runs when it is waited for. IMAGINED_FAULT names a call that fails.

#ifndef IMAGINED_CUDA_RUNTIME_API_H_
#define IMAGINED_CUDA_RUNTIME_API_H_

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <vector>

enum cudaError { cudaSuccess = 0, cudaErrorMemoryAllocation = 2, cudaErrorStreamCaptureUnsupported = 900 };
using cudaError_t = cudaError;
enum cudaMemcpyKind { cudaMemcpyDefault = 4 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
constexpr unsigned cudaStreamNonBlocking = 1;

namespace imagined {

using Work = std::vector<std::function<void()>>;

struct Stream {
  Work waiting, captured;
  bool is_capturing = false;
};

inline std::set<const void*>& memory() {
  static std::set<const void*> known;
  return known;
}
inline long& launches() {
  static long count = 0;
  return count;
}
inline bool fails(const char* call) {
  const char* named = std::getenv("IMAGINED_FAULT");
  return named && std::string(named) == call;
}
inline void enqueue(Stream* stream, std::function<void()> work) {
  (stream->is_capturing ? stream->captured : stream->waiting).push_back(std::move(work));
}
inline cudaError reserve(void** taken, std::size_t bytes) {
  *taken = std::malloc(bytes);
  memory().insert(*taken);
  return cudaSuccess;
}
inline cudaError give_back(void* taken) {
  memory().erase(taken);
  std::free(taken);
  return cudaSuccess;
}

}  // namespace imagined

using cudaStream_t = imagined::Stream*;
using cudaGraph_t = imagined::Work*;
using cudaGraphExec_t = imagined::Work*;

inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : "imagined fault";
}
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaMalloc(void** taken, std::size_t bytes) {
  return imagined::fails("cudaMalloc") ? cudaErrorMemoryAllocation : imagined::reserve(taken, bytes);
}
inline cudaError_t cudaMallocHost(void** taken, std::size_t bytes) {
  return imagined::fails("cudaMallocHost") ? cudaErrorMemoryAllocation : imagined::reserve(taken, bytes);
}
inline cudaError_t cudaFree(void* taken) { return imagined::give_back(taken); }
inline cudaError_t cudaFreeHost(void* taken) { return imagined::give_back(taken); }
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new imagined::Stream;
  return cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  for (const auto& work : stream->waiting) work();
  stream->waiting.clear();
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  if (!imagined::memory().count(to) || !imagined::memory().count(from)) std::abort();
  imagined::enqueue(stream, [=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}
inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (!stream->waiting.empty() || imagined::fails("cudaStreamBeginCapture")) return cudaErrorStreamCaptureUnsupported;
  stream->is_capturing = true;
  return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  stream->is_capturing = false;
  imagined::Work work;
  work.swap(stream->captured);
  if (imagined::fails("cudaStreamEndCapture")) return cudaErrorStreamCaptureUnsupported;
  *graph = new imagined::Work(std::move(work));
  return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long) {
  *ready = new imagined::Work(*graph);
  return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete graph;
  return cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  ++imagined::launches();
  if (imagined::fails("cudaGraphLaunch")) return cudaErrorMemoryAllocation;
  for (const auto& work : *graph) imagined::enqueue(stream, work);
  return cudaSuccess;
}

#endif  // IMAGINED_CUDA_RUNTIME_API_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <new>
#include <string>

#include "hwnas_runtime/hwnas_runtime.h"
#include "hwnas_runtime/runtime.hpp"

namespace {

namespace rt = hwnas::runtime;

// What this thread was told last. Kept, so that its memory is used again.
struct Told {
  std::string error;
  rt::Result result;
  uint64_t runner_id = 0;  // of the runner that gave the result; 0 for none
};

Told& told() {
  static thread_local Told of_thread;
  return of_thread;
}

hwnas_status fail(hwnas_status status, const char* message) noexcept {
  try {
    told().error = message;
  } catch (const std::bad_alloc&) {  // the message before stays
  }
  return status;
}

// Runs a function; an exception becomes a status.
template <typename Function>
hwnas_status guarded(Function function) noexcept {
  try {
    function();
    return HWNAS_OK;
  } catch (const rt::Error& error) {
    return fail(static_cast<hwnas_status>(error.kind()), error.what());
  } catch (const std::bad_alloc&) {
    return fail(HWNAS_ERROR_INTERNAL, "There is not enough memory.");
  } catch (const std::exception& error) {
    return fail(HWNAS_ERROR_INTERNAL, error.what());
  } catch (...) {
    return fail(HWNAS_ERROR_INTERNAL, "An error of an unknown kind.");
  }
}

[[noreturn]] void refuse(const char* message) { throw rt::Error(rt::ErrorKind::kArgument, message); }

uint64_t next_id() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

}  // namespace

struct hwnas_runner {
  rt::Runner runner;
  // Another runner may get the address of one that was destroyed.
  const uint64_t id = next_id();
};

static const rt::Result* result_of(const hwnas_runner* runner) noexcept {
  return runner && told().runner_id == runner->id ? &told().result : nullptr;
}

void hwnas_options_init(hwnas_options* options) {
  if (options) *options = {sizeof(hwnas_options), "fp32", nullptr, 1, 1, nullptr, nullptr, "onnxruntime"};
}

void hwnas_scan_init(hwnas_scan* scan) {
  if (scan) *scan = {sizeof(hwnas_scan), nullptr, nullptr, 0, nullptr, nullptr, 3, 1};
}

hwnas_status hwnas_runner_create(const char* bundle, const hwnas_options* options, hwnas_runner** runner) {
  return guarded([&] {
    if (!bundle || !runner) refuse("`bundle` and `runner` must not be null.");
    *runner = nullptr;
    hwnas_options usual;
    hwnas_options_init(&usual);
    if (!options) options = &usual;
    if (options->size != sizeof(hwnas_options)) refuse("`options` must be set by hwnas_options_init.");
    rt::Options wanted;
    if (options->precision) wanted.precision = options->precision;
    if (options->backend) wanted.backend = options->backend;
    wanted.check_scans = options->check_scans != 0;
    wanted.onnxruntime.threads = options->threads;
    if (options->onnxruntime_library) wanted.onnxruntime.library = options->onnxruntime_library;
    if (!options->allowed_signers != !options->identity) {
      refuse("`allowed_signers` and `identity` go together: the file says which keys may sign, the name says whose "
             "signature is wanted.");
    }
    if (options->identity) wanted.trust = rt::Trust{options->allowed_signers, options->identity};
    *runner = new hwnas_runner{rt::Runner(bundle, wanted)};
  });
}

void hwnas_runner_destroy(hwnas_runner* runner) { delete runner; }

hwnas_status hwnas_runner_label(hwnas_runner* runner, const hwnas_scan* scan, uint8_t* labels, float* scores) {
  return guarded([&] {
    if (!runner || !scan) refuse("`runner` and `scan` must not be null.");
    if (scan->size != sizeof(hwnas_scan)) refuse("`scan` must be set by hwnas_scan_init.");
    if (scan->count && !labels) refuse("`labels` must not be null.");
    Told& here = told();
    here.runner_id = 0;
    const rt::Scan given{scan->points, scan->intensity, scan->count,        scan->ring,
                         scan->time,   scan->point_stride, scan->intensity_stride};
    runner->runner.label(given, here.result, scores != nullptr);
    here.runner_id = runner->id;
    std::copy(here.result.labels.begin(), here.result.labels.end(), labels);
    if (scores) std::copy(here.result.scores.begin(), here.result.scores.end(), scores);
  });
}

size_t hwnas_runner_num_warnings(const hwnas_runner* runner) {
  const rt::Result* result = result_of(runner);
  return result ? result->warnings.size() : 0;
}

const char* hwnas_runner_warning(const hwnas_runner* runner, size_t number) {
  const rt::Result* result = result_of(runner);
  return result && number < result->warnings.size() ? result->warnings[number].c_str() : nullptr;
}

const char* hwnas_runner_projection(const hwnas_runner* runner) {
  const rt::Result* result = result_of(runner);
  return result ? result->projection.c_str() : nullptr;
}

size_t hwnas_runner_num_classes(const hwnas_runner* runner) {
  return runner ? runner->runner.class_names().size() : 0;
}

const char* hwnas_runner_class_name(const hwnas_runner* runner, size_t number) {
  if (!runner || number >= runner->runner.class_names().size()) return nullptr;
  return runner->runner.class_names()[number].c_str();
}

hwnas_status hwnas_runner_raw_ids(const hwnas_runner* runner, const uint8_t* labels, size_t count, uint32_t* ids) {
  return guarded([&] {
    if (!runner || (count && (!labels || !ids))) refuse("`runner`, `labels` and `ids` must not be null.");
    for (size_t i = 0; i < count; ++i) ids[i] = runner->runner.raw_id_of(labels[i]);
  });
}

const char* hwnas_last_error(void) { return told().error.c_str(); }

const char* hwnas_runtime_version(void) { return rt::version(); }

// threads BUNDLE SCAN.bin [LIBRARY]: threads with a runner each, and threads that share one, all label as one alone
// does. With the sanitizer for threads this shows what they share. With ONNX Runtime's library: through the C interface.

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fake_session.h"
#include "hwnas_runtime/hwnas_runtime.h"
#include "hwnas_runtime/runtime.hpp"

namespace {

namespace rt = hwnas::runtime;

using Labels = std::vector<uint8_t>;

// Counts answers that are not those of one thread alone. `label` labels with a runner of its own, or a shared one.
template <typename Label>
int differing(const Label& label) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      wrong += label(i < 2);
      hwnas_runner* none = nullptr;  // errors are of their thread
      wrong += hwnas_runner_create("no bundle", nullptr, &none) != HWNAS_ERROR_BUNDLE;
      wrong += std::string(hwnas_last_error()).find("no bundle") == std::string::npos;
    });
  }
  for (std::thread& thread : threads) thread.join();
  return wrong;
}

int differing_in_cpp(const std::string& bundle, const char* file) {
  rt::Options options;
  options.open_session = [&](const std::string&) { return rt::FakeSession::of(bundle); };
  rt::Runner shared(bundle, options);
  const rt::StoredScan scan = rt::ScanFiles(shared).read(file);
  rt::Result expected;
  shared.label(scan.view(), expected);
  return differing([&](bool is_shared) {
    std::optional<rt::Runner> own;
    if (!is_shared) own.emplace(bundle, options);
    rt::Result result;
    int wrong = 0;
    for (int i = 0; i < 3; ++i) {
      (own ? *own : shared).label(scan.view(), result);
      wrong += result.labels != expected.labels || result.scores != expected.scores;
    }
    return wrong;
  });
}

int differing_in_c(const std::string& bundle, const char* file, const char* library) {
  rt::Options of_cpp;
  of_cpp.onnxruntime.library = library;
  rt::Runner alone(bundle, of_cpp);
  const rt::StoredScan stored = rt::ScanFiles(alone).read(file);
  rt::Result expected;
  alone.label(stored.view(), expected);
  hwnas_options options;
  hwnas_options_init(&options);
  options.onnxruntime_library = library;
  hwnas_scan scan;
  hwnas_scan_init(&scan);
  scan.points = stored.points.data();
  scan.intensity = stored.intensity.data();
  scan.count = stored.intensity.size();
  hwnas_runner* shared = nullptr;
  if (hwnas_runner_create(bundle.c_str(), &options, &shared)) return 1;
  const int wrong = differing([&](bool is_shared) {
    hwnas_runner* own = nullptr;
    if (!is_shared && hwnas_runner_create(bundle.c_str(), &options, &own)) return 1;
    hwnas_runner* const runner = own ? own : shared;
    Labels labels(scan.count);
    int count = 0;
    for (int i = 0; i < 3; ++i) {
      count += hwnas_runner_label(runner, &scan, labels.data(), nullptr) != HWNAS_OK || labels != expected.labels;
      count += hwnas_runner_num_warnings(runner) != expected.warnings.size();
      count += expected.projection != hwnas_runner_projection(runner);
    }
    hwnas_runner_destroy(own);
    return count;
  });
  hwnas_runner_destroy(shared);
  return wrong;
}

}  // namespace

int main(int argc, char** argv) {
  const int wrong = argc > 3 ? differing_in_c(argv[1], argv[2], argv[3]) : differing_in_cpp(argv[1], argv[2]);
  std::printf("%d differ\n", wrong);
  return wrong ? 1 : 0;
}

// step_times BUNDLE LIBRARY SCAN.bin...: labels a scan for each line on standard input, which holds its number, and
// prints the milliseconds of its steps: project, check, network, label, score. For scripts/benchmarks/cpp_runtime.py.

#include <cstdio>
#include <string>
#include <vector>

#include "hwnas_runtime/runtime.hpp"

int main(int argc, char** argv) {
  namespace rt = hwnas::runtime;
  try {
    rt::Options options;
    options.onnxruntime.library = argv[2];
    rt::Runner runner(argv[1], options);
    std::vector<rt::StoredScan> scans;
    for (int i = 3; i < argc; ++i) scans.push_back(rt::ScanFiles(runner).read(argv[i]));
    rt::Result result;
    size_t number = 0;
    while (std::scanf("%zu", &number) == 1) {
      rt::StepTimes times;
      runner.label(scans.at(number).view(), result, true, &times);
      std::printf("%.6f %.6f %.6f %.6f %.6f\n", times.project_ms, times.check_ms, times.network_ms, times.label_ms,
                  times.score_ms);
      std::fflush(stdout);
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "Error: %s\n", error.what());
    return 1;
  }
}

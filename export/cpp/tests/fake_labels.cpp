// fake_labels BUNDLE SCAN.bin OUT: labels and scores of a scan with a network that needs no runtime, so that what
// differs between machines is ours: uint8 for each point, then its float32.

#include <cstdio>
#include <string>

#include "fake_session.h"
#include "files.h"
#include "hwnas_runtime/runtime.hpp"

int main(int, char** argv) {
  namespace rt = hwnas::runtime;
  const std::string bundle = argv[1];
  rt::Options options;
  options.open_session = [&](const std::string&) { return rt::FakeSession::of(bundle); };
  rt::Runner runner(bundle, options);
  rt::Result result;
  runner.label(rt::ScanFiles(runner).read(argv[2]).view(), result);
  std::string content(result.labels.begin(), result.labels.end());
  content.append(reinterpret_cast<const char*>(result.scores.data()), sizeof(float) * result.scores.size());
  rt::write_atomically(argv[3], content);
  for (const std::string& warning : result.warnings) std::printf("%s\n", warning.c_str());
  std::printf("%s\n", result.projection.c_str());
  return 0;
}

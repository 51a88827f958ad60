// Damaged manifests, models and scans, and wild points: each ends in labels or in an Error, in nothing else.
//
// An input is a byte for what it is (see Kind), one for how it is used, and the content. With libFuzzer the bundle is
// named by HWNAS_FUZZ_BUNDLE. Without: fuzz BUNDLE SCAN.bin RUNS SEED. Files are written below TMPDIR, best in memory.

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "deployment.h"
#include "expectations.h"
#include "fake_session.h"
#include "files.h"
#include "hwnas_runtime/runtime.hpp"
#include "json.h"
#include "json_damage.h"
#include "model_files.h"
#include "sha256.h"

namespace {

namespace rt = hwnas::runtime;

constexpr const char* kMark = ",\n  \"checksum\": \"sha256:";
constexpr int64_t kMostNumbers = 1 << 21;  // that a network may have: larger ones take long and show nothing new

enum Kind {
  kWithChecksum,  // a manifest that gets its checksum; after a zero byte a scan file
  kManifest,      // a manifest as it is
  kModel,         // a file beside which weights may lie
  kScan,          // a scan file
  kPoints,        // 28 bytes for each point
  kStatements,    // {"deployment": ..., "expects": ...}
  kKinds
};

// How an input is used: bits of its second byte. Points and manifests share them.
enum Use { kStrict = 1, kNoRing = 2, kSmallRings = 4, kNoTime = 8, kNoHugeValues = 16, kWildIntensity = 32 };

// Keeps what is made for one process, and takes it away at its end.
struct Workplace {
  std::string bundle, directory;
  std::unique_ptr<rt::Runner> strict, lenient;
  rt::Manifest manifest;
  rt::Result result;

  explicit Workplace(const std::string& of) : bundle(of), manifest(rt::read_manifest(of)) {
    directory = (std::filesystem::temp_directory_path() / "hwnas-fuzz-XXXXXX").string();
    if (!::mkdtemp(directory.data())) throw std::runtime_error("no temporary directory");
    rt::Options options;
    options.open_session = [this](const std::string&) { return network(manifest); };
    strict = std::make_unique<rt::Runner>(bundle, options);
    options.check_scans = false;
    lenient = std::make_unique<rt::Runner>(bundle, options);
    for (const char* file : {"model.onnx", "model.fp16.onnx", "model.int8.onnx", "weights.safetensors"}) {
      if (::symlink((bundle + "/" + file).c_str(), (directory + "/" + file).c_str())) std::perror("symlink");
    }
  }
  ~Workplace() { std::filesystem::remove_all(directory); }
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;

  static std::unique_ptr<rt::Session> network(const rt::Manifest& of) {
    for (const auto* tensors : {&of.inputs, &of.outputs}) {
      int64_t numbers = 1;
      for (int64_t size : tensors->at(0).shape) numbers = size > 0 && size < kMostNumbers ? numbers * size : kMostNumbers;
      if (numbers >= kMostNumbers) throw rt::Error(rt::ErrorKind::kBundle, "The network is too large for this program.");
    }
    return std::make_unique<rt::FakeSession>(of.inputs, of.outputs);
  }

  std::string written(const char* name, const std::string& content) const {
    rt::write_atomically(directory + "/" + name, content);
    return directory + "/" + name;
  }

  // What holds of any labels.
  void label(rt::Runner& runner, const rt::Scan& scan) {
    runner.label(scan, result);
    if (result.labels.size() != scan.count || result.scores.size() != scan.count) std::abort();
    for (size_t i = 0; i < scan.count; ++i) {
      const bool is_known = result.labels[i] != 255;
      if (is_known && result.labels[i] >= runner.class_names().size()) std::abort();
      if (is_known ? result.scores[i] > 1.001f : result.scores[i] != 0.0f) std::abort();
    }
  }
};

void try_manifest(Workplace& place, const std::string& raw, bool with_checksum, unsigned use) {
  const size_t end = with_checksum ? raw.find('\0') : raw.npos;
  std::string text = raw.substr(0, end);
  if (with_checksum) {
    rt::Sha256 digest;
    digest.update(text.data(), text.size());
    text += kMark + digest.hex_digest() + "\"\n}\n";
  }
  place.written("manifest.json", text);
  rt::Options options;
  options.check_scans = use & kStrict;
  options.open_session = [&](const std::string&) { return Workplace::network(rt::read_manifest(place.directory)); };
  rt::Runner runner(place.directory, options);
  const std::string scan = end == raw.npos ? "" : raw.substr(end + 1);
  place.label(runner, rt::ScanFiles(runner).read(place.written("scan.bin", scan)).view());
}

void try_model(Workplace& place, const std::string& model) {
  place.written("fuzzed.onnx", model);
  rt::external_data_problem(place.directory, "fuzzed.onnx", [](const std::string&) { return false; });
}

void try_scan(Workplace& place, const std::string& content) {
  const std::string path = place.written("scan.bin", content);
  for (rt::Runner* runner : {place.lenient.get(), place.strict.get()}) {
    place.label(*runner, rt::ScanFiles(*runner).read(path).view());
  }
}

void try_points(Workplace& place, const std::string& content, unsigned use) {
  const size_t count = content.size() / 28;
  std::vector<float> values(4 * count + 4);  // never null, from which the address of an intensity may not be formed
  std::vector<int32_t> ring(count);
  std::vector<double> time(count);
  if (count) {
    std::memcpy(values.data(), content.data(), 16 * count);
    std::memcpy(ring.data(), content.data() + 16 * count, 4 * count);
    std::memcpy(time.data(), content.data() + 20 * count, 8 * count);
  }
  for (float& value : values) value = (use & kNoHugeValues) && std::abs(value) > 1e6f ? value * 1e-30f : value;
  for (size_t i = 0; i < count && !(use & kWildIntensity); ++i) values[4 * i + 3] = 0.5f;
  for (int32_t& value : ring) value = use & kSmallRings ? value & 15 : value;
  const rt::Scan scan{values.data(), values.data() + 3, count, use & kNoRing ? nullptr : ring.data(),
                      use & kNoTime ? nullptr : time.data(), 4, 4};
  place.label(use & kStrict ? *place.strict : *place.lenient, scan);
}

// What the sections of a manifest say, without the files that it lists.
void try_statements(Workplace& place, const std::string& text) {
  try {
    rt::Json stated = rt::parse_json(text);
    const rt::Json* deployment = rt::find(stated, "deployment");
    const rt::Json* expects = rt::find(stated, "expects");
    if (!deployment || !deployment->is_object()) return;
    rt::Json content = {{"processor", "lidar-range-view"}, {"task", rt::Json::object()}, {"deployment", *deployment}};
    rt::read_deployment({"bundle", std::make_shared<const rt::Json>(std::move(content)), place.manifest.inputs,
                         place.manifest.outputs});
    if (expects) rt::read_expectations(*expects);
  } catch (const std::invalid_argument& error) {
    throw rt::Error(rt::ErrorKind::kBundle, error.what());
  } catch (const rt::StatementError& error) {
    throw rt::Error(rt::ErrorKind::kBundle, error.what());
  }
}

// Whether the input was taken.
bool try_one(Workplace& place, const uint8_t* data, size_t size) {
  if (size < 2) return false;
  const std::string content(reinterpret_cast<const char*>(data) + 2, size - 2);
  const unsigned use = data[1];
  try {
    switch (data[0] % kKinds) {
      case kWithChecksum: try_manifest(place, content, true, use); break;
      case kManifest: try_manifest(place, content, false, use); break;
      case kModel: try_model(place, content); break;
      case kScan: try_scan(place, content); break;
      case kPoints: try_points(place, content, use); break;
      default: try_statements(place, content);
    }
    return true;
  } catch (const rt::Error&) {  // what is expected of damaged input
    return false;
  }
}

// Changes values of the JSON that an input of two kinds holds, and keeps the rest; false where it holds none.
bool change_values(std::string& input, std::mt19937_64& random) {
  if (input.size() < 2) return false;
  const int kind = static_cast<unsigned char>(input[0]) % kKinds;
  if (kind != kWithChecksum && kind != kStatements) return false;
  const std::string closing = kind == kWithChecksum ? "}" : "";  // the checksum comes before it
  const size_t end = kind == kWithChecksum ? std::min(input.find('\0', 2), input.size()) : input.size();
  rt::Json document = rt::Json::parse(input.substr(2, end - 2) + closing, nullptr, false);
  if (!document.is_object()) return false;
  rt::damage(document, random);
  std::string text = document.dump(-1, ' ', false, rt::Json::error_handler_t::replace);
  if (document.is_object() && !closing.empty()) text.pop_back();
  input = input.substr(0, 2) + text + input.substr(end);
  return true;
}

#ifndef HWNAS_LIBFUZZER

std::string damaged(std::string content, std::mt19937_64& random) {
  const auto below = [&](size_t count) { return static_cast<size_t>(random() % std::max<size_t>(count, 1)); };
  for (size_t i = below(6) + 1; i-- > 0 && !content.empty();) {
    // In an order of their own: that of arguments is the compiler's, and inputs would differ between machines.
    const size_t at = below(content.size()), what = below(6), length = below(60), from = below(content.size());
    switch (what) {
      case 0: content[at] = static_cast<char>(random()); break;
      case 1: content[at] = static_cast<char>(content[at] ^ 1 << below(8)); break;
      case 2: content.erase(at, length); break;
      case 3: content.insert(at, content.substr(from, length)); break;
      case 4: content.resize(at); break;
      default: {
        static constexpr const char* kWords[] = {"null", "-1",  "1e999", "[[[[",    "{}",
                                                 "\"\"", "0.5", "true",  "\\u0000", "99999999999999999999"};
        content.replace(at, length / 5, kWords[below(std::size(kWords))]);
      }
    }
  }
  return content;
}

#endif

}  // namespace

#ifdef HWNAS_LIBFUZZER

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  std::mt19937_64 random(seed);
  std::string input(reinterpret_cast<const char*>(data), size);
  if (random() % 3 && change_values(input, random) && input.size() <= most) {
    std::copy(input.begin(), input.end(), data);
    return input.size();
  }
  return LLVMFuzzerMutate(data, size, most);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Workplace place(std::getenv("HWNAS_FUZZ_BUNDLE"));
  try_one(place, data, size);
  return 0;
}

#else

int main(int, char** argv) {
  Workplace place(argv[1]);
  const std::string manifest = rt::read_plain_file(std::string(argv[1]) + "/manifest.json", 1 << 24);
  const std::string model = rt::read_plain_file(std::string(argv[1]) + "/model.onnx", 1 << 24);
  const std::string scan = rt::read_plain_file(argv[2], 1 << 24);
  const std::string body = manifest.substr(0, manifest.rfind(kMark));
  const rt::Json whole = rt::Json::parse(manifest);
  const std::string statements = rt::Json{{"deployment", whole["deployment"]}, {"expects", whole["expects"]}}.dump();
  const std::string seeds[kKinds] = {body + '\0' + scan.substr(0, 8000), manifest, model, scan, scan, statements};
  std::mt19937_64 random(std::strtoull(argv[4], nullptr, 10));
  const long runs = std::strtol(argv[3], nullptr, 10);
  long taken = 0;
  for (long i = 0; i < runs; ++i) {
    const size_t kind = random() % kKinds;
    std::string input = {static_cast<char>(kind), static_cast<char>(random())};
    input += seeds[kind];
    if (random() % 4 == 0 || !change_values(input, random)) input.replace(2, input.npos, damaged(seeds[kind], random));
    if (kind == kPoints && random() % 2) {
      for (size_t k = 2; k < input.size(); ++k) input[k] = static_cast<char>(random());
    }
    taken += try_one(place, reinterpret_cast<const uint8_t*>(input.data()), input.size());
  }
  std::printf("%ld inputs, %ld taken\n", runs, taken);
  return 0;
}

#endif

// Labels one scan file with a bundle: `hwnas infer` without Python. Exit codes and words are those of hwnas.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include <sys/stat.h>

#include "files.h"
#include "hwnas_runtime/runtime.hpp"
#include "text.h"
#include "thread_counts.h"

namespace {

namespace rt = hwnas::runtime;

constexpr uint64_t kMaxOwnBytes = uint64_t{256} << 20;

constexpr const char* kUsage =
    "Usage: hwnas_infer BUNDLE SCAN.bin -o OUT.label [options]\n"
    "\n"
    "Writes a label file: uint32, one id for every point of the scan, which must come from a sensor as the network\n"
    "was trained for, in the file layout that it was trained on.\n"
    "\n"
    "  -o, --out FILE        label file\n"
    "  --force               replace labels and scores that exist\n"
    "  --scores FILE         probability of each label, float32\n"
    "  --ids raw|train       raw: ids as in label files. train: indices of classes, 255 for none (default raw)\n"
    "  --precision NAME      fp32, fp16, int8, mixed, or recommended for the bundle's target (default fp32)\n"
    "  --backend NAME        onnxruntime; or tensorrt or tensorrt-rtx with an engine of the bundle, if hwnas_infer was\n"
    "                        built with it (default onnxruntime)\n"
    "  --no-check-scans      label scans that contradict the bundle's manifest, too: labels may be wrong, and nothing\n"
    "                        tells which\n"
    "  --threads N           of one inference; 0: all cores (default 1)\n"
    "  --library FILE        libonnxruntime.so; else HWNAS_ONNXRUNTIME_LIBRARY, or what the loader finds\n"
    "  --require-signature --allowed-signers FILE --identity NAME\n"
    "                        refuse bundles that NAME did not sign; FILE says which keys may, see ssh-keygen(1)\n"
    "  --version, --help\n"
    "\n"
    "Exit codes: 2 wrong options, 3 the scan cannot be used, 7 the bundle cannot be used, 9 the bundle is for\n"
    "something else, 10 a file cannot be written.\n";

struct Arguments {
  std::string bundle, scan, out, scores, ids = "raw";
  bool force = false, require_signature = false, no_check_scans = false;
  rt::Trust trust;
  rt::Options options;
};

[[noreturn]] void refuse(const std::string& message) { throw rt::Error(rt::ErrorKind::kArgument, message); }

int threads_of(const std::string& text) {
  const size_t sign = text.rfind('-', 0) == 0;
  const bool is_whole = text.size() > sign && text.find_first_not_of("0123456789", sign) == std::string::npos;
  if (!is_whole || text.size() > 9) rt::refuse_threads(is_whole ? text : rt::repr(text));
  const int threads = std::stoi(text);
  rt::check_threads(threads);
  return threads;
}

// Sets an option that takes a value; false if there is none of this name. Null in place of the value sets nothing.
bool set_option(Arguments& found, const std::string& name, const std::string* value) {
  std::string* text = nullptr;
  if (name == "-o" || name == "--out") text = &found.out;
  if (name == "--scores") text = &found.scores;
  if (name == "--ids") text = &found.ids;
  if (name == "--precision") text = &found.options.precision;
  if (name == "--backend") text = &found.options.backend;
  if (name == "--library") text = &found.options.onnxruntime.library;
  if (name == "--allowed-signers") text = &found.trust.allowed_signers;
  if (name == "--identity") text = &found.trust.identity;
  if (text && value) *text = *value;
  if (name != "--threads") return text != nullptr;
  if (value) found.options.onnxruntime.threads = threads_of(*value);
  return true;
}

// A switch, which takes no value; null if there is none of this name.
bool* switch_of(Arguments& found, const std::string& name) {
  if (name == "--force") return &found.force;
  if (name == "--no-check-scans") return &found.no_check_scans;
  return name == "--require-signature" ? &found.require_signature : nullptr;
}

// Requires all three options of signatures or none: a check that is left out must not look done.
void set_trust(Arguments& found, bool has_allowed_signers, bool has_identity) {
  const int given = found.require_signature + has_allowed_signers + has_identity;
  if (given != 0 && given != 3) {
    refuse("`--require-signature`, `--allowed-signers FILE` and `--identity NAME` go together: the file says which "
           "keys may sign, the name says whose signature is wanted.");
  }
  if (given) found.options.trust = found.trust;
}

// Refuses outputs that are the scan, or each other.
void check_apart(const Arguments& wanted) {
  const std::string scan = rt::plain_path(wanted.scan), out = rt::plain_path(wanted.out);
  if (out == scan) refuse("Labels cannot go into the scan, " + rt::repr(out) + ". Name another file.");
  if (wanted.scores.empty()) return;
  const std::string scores = rt::plain_path(wanted.scores);
  if (scores == scan) refuse("Scores cannot go into the scan, " + rt::repr(scan) + ". Name another file.");
  if (scores == out) refuse("Labels and scores cannot go into one file, " + rt::repr(out) + ". Name two.");
}

Arguments parse(const std::vector<std::string>& words) {
  Arguments found;
  std::vector<std::string> places;
  bool has_allowed_signers = false, has_identity = false;
  for (size_t i = 0; i < words.size(); ++i) {
    std::string name = words[i];
    if (name.size() < 2 || name[0] != '-') {
      places.push_back(name);
      continue;
    }
    if (bool* on = switch_of(found, name)) {
      *on = true;
      continue;
    }
    const size_t equals = name.find('=');
    const bool has_value = name.rfind("--", 0) == 0 && equals != std::string::npos;
    const std::string given = has_value ? name.substr(equals + 1) : "";
    if (has_value) name.erase(equals);
    if (switch_of(found, name)) refuse(name + " takes no value, but got " + rt::repr(given) + ".");
    if (!set_option(found, name, nullptr)) {
      refuse("There is no option " + rt::repr(name) + ". `hwnas_infer --help` lists the options.");
    }
    if (!has_value && i + 1 == words.size()) {
      refuse(name + " takes a value. `hwnas_infer --help` lists the options.");
    }
    set_option(found, name, has_value ? &given : &words[++i]);
    has_allowed_signers |= name == "--allowed-signers";
    has_identity |= name == "--identity";
  }
  if (places.size() != 2 || found.out.empty()) {
    refuse("Expected a bundle, a scan and `-o OUT.label`. `hwnas_infer --help` says more.");
  }
  if (found.ids != "raw" && found.ids != "train") refuse("--ids is raw or train, but got " + rt::repr(found.ids) + ".");
  found.options.check_scans = !found.no_check_scans;
  set_trust(found, has_allowed_signers, has_identity);
  found.bundle = places[0];
  found.scan = places[1];
  check_apart(found);
  return found;
}

template <typename T>
void write(const std::string& path, const std::vector<T>& values) {
  try {
    rt::write_atomically(path, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
  } catch (const rt::SystemError& error) {
    throw rt::Error(rt::ErrorKind::kFileAccess, rt::advice_on(error, path));
  }
}

// Reads and labels the scan; what is wrong with it is said as `hwnas infer` does.
rt::Result labelled(rt::Runner& runner, const Arguments& wanted, double& label_ms) {
  try {
    const rt::StoredScan scan = rt::ScanFiles(runner).read(wanted.scan);
    rt::Result result;
    const auto start = std::chrono::steady_clock::now();
    runner.label(scan.view(), result, !wanted.scores.empty());
    label_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    return result;
  } catch (const rt::Error& error) {
    if (error.kind() != rt::ErrorKind::kData) throw;
    const std::string path = rt::plain_path(wanted.scan), said = error.what();
    throw rt::Error(rt::ErrorKind::kData, "1 of 1 scans could not be labelled:\n  " +
                                              (said.find(path) == std::string::npos ? path + ": " + said : said));
  }
}

template <typename T, typename Predicate>
bool are_all(std::string_view content, Predicate is_own) {
  if (content.size() % sizeof(T)) return false;
  std::vector<T> values(content.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), content.data(), content.size());
  return std::all_of(values.begin(), values.end(), is_own);
}

// Ids have 16 bits. Above them, labels by people have numbers of instances, and other files have anything.
bool are_labels(std::string_view content) {
  return are_all<uint32_t>(content, [](uint32_t id) { return id >> 16 == 0; });
}

// Probabilities; ids, read as float32, are none.
bool are_scores(std::string_view content) {
  return are_all<float>(content, [](float score) {
    return score == 0.0f || (std::isnormal(score) && score > 0.0f && score <= 1.0f);
  });
}

// Refuses to replace a file unless that is asked for, and what hwnas did not write in any case.
void check_place(const std::string& path, bool force, const char* what, bool (*is_own)(std::string_view)) {
  struct stat found;
  if (path.empty() || lstat(path.c_str(), &found) != 0) return;
  if (S_ISDIR(found.st_mode)) return;  // writing says so
  if (!S_ISREG(found.st_mode)) refuse(rt::repr(path) + " is no plain file. Move it away, or name another file.");
  if (!force) refuse(rt::repr(path) + " exists already. Give --force to replace it, or name another file.");
  std::string there = "a file that hwnas did not write as such";
  try {
    if (is_own(rt::read_plain_file(path, kMaxOwnBytes))) return;
  } catch (const rt::SystemError& error) {
    there = "something else (" + error.reason + ")";
  }
  refuse(rt::repr(path) + " would become " + what + ", but there is " + there +
         ". Move it away, or name another file.");
}

void run(const Arguments& wanted) {
  check_place(wanted.out, wanted.force, "labels", are_labels);
  check_place(wanted.scores, wanted.force, "scores", are_scores);
  rt::Runner runner(wanted.bundle, wanted.options);
  if (wanted.no_check_scans) {
    std::fputs("WARNING: Scans are not compared with those that the network was trained on: labels may be wrong, and "
               "nothing tells which.\n",
               stderr);
  }
  double label_ms = 0.0;
  const rt::Result result = labelled(runner, wanted, label_ms);
  std::vector<uint32_t> ids;
  for (uint8_t label : result.labels) ids.push_back(wanted.ids == "raw" ? runner.raw_id_of(label) : label);
  write(wanted.out, ids);
  if (!wanted.scores.empty()) write(wanted.scores, result.scores);
  std::printf("%s  %zu points in %.0f ms\n", wanted.out.c_str(), ids.size(), label_ms);
  for (const std::string& warning : result.warnings) {
    std::fprintf(stderr, "Warning: %s: %s\n", rt::plain_path(wanted.scan).c_str(), warning.c_str());
  }
}

// Name of the error that the commands of hwnas would print.
const char* type_of(const rt::Error& error) {
  switch (error.kind()) {
    case rt::ErrorKind::kArgument: return "ConfigError";
    case rt::ErrorKind::kData: return "DataError";
    case rt::ErrorKind::kBundle: return "BundleError";
    case rt::ErrorKind::kPlugin: return "PluginError";
    case rt::ErrorKind::kFileAccess: return "FileAccessError";
    default: return "Error";
  }
}

// What the library says, with its argument as the option of this program.
std::string with_options(std::string message) {
  const std::string argument = "`check_scans=False`";
  for (size_t at = message.find(argument); at != std::string::npos; at = message.find(argument)) {
    message.replace(at, argument.size(), "`--no-check-scans`");
  }
  return message;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> words(argv + 1, argv + argc);
    for (const std::string& word : words) {
      if (word == "--help" || word == "-h") return std::fputs(kUsage, stdout) < 0;
      if (word == "--version") return std::printf("hwnas_infer %s\n", rt::version()) < 0;
    }
    run(parse(words));
    if (std::fflush(stdout)) throw rt::Error(rt::ErrorKind::kFileAccess, "Standard output cannot be written.");
    return 0;
  } catch (const rt::Error& error) {
    std::fprintf(stderr, "%s: %s\n", type_of(error), with_options(error.what()).c_str());
    return static_cast<int>(error.kind());
  } catch (const std::bad_alloc&) {
    std::fputs("Error: There is not enough memory.\n", stderr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "Error: %s\n", error.what());
  }
  return 1;
}

#include "manifest.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <utility>

#include "files.h"
#include "hwnas_runtime/error.hpp"
#include "json.h"
#include "model_files.h"
#include "sha256.h"
#include "signature.h"
#include "text.h"

namespace hwnas::runtime {
namespace {

constexpr int kSchemaVersion = 5;
constexpr uint64_t kMaxManifestBytes = 1 << 24;
constexpr size_t kMaxNameBytes = 255, kShownOfName = 200;
constexpr const char* kName = "manifest.json";

constexpr std::array<std::pair<const char*, const char*>, 19> kRequired = {{
    {"files", "dict"},         {"model", "dict"},           {"weights", "str"},
    {"io", "dict"},            {"class_names", "list"},     {"deployment", "dict"},
    {"processor", "str"},      {"plugins", "dict"},         {"task", "dict"},
    {"space", "dict"},         {"architecture", "dict"},    {"architecture_id", "str"},
    {"data_fingerprint", "str"}, {"quality", "dict"},       {"latency", "dict"},
    {"training", "dict"},      {"versions", "dict"},        {"precisions", "dict"},
    {"recommended_precision", "str"},
}};

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::kBundle, message); }

std::string read_bytes(const std::string& path) {
  const std::string missing = std::string("A bundle is a directory with a ") + kName + ", but " + path +
                              " is no file, or a link to one. `hwnas export RUN` writes bundles.";
  struct stat status {};
  if (!::lstat(path.c_str(), &status) && S_ISLNK(status.st_mode)) refuse(missing);
  try {
    return read_plain_file(path, kMaxManifestBytes);
  } catch (const SystemError& error) {
    for (const int number : {ENOENT, ENOTDIR, EISDIR, EINVAL, ENXIO}) {
      if (error.number == number) refuse(missing);
    }
    if (error.number == EFBIG) {
      refuse(path + " is larger than any " + kName + " (" + std::to_string(kMaxManifestBytes) +
             " bytes). Copy the bundle again.");
    }
    refuse(path + " cannot be read: [Errno " + std::to_string(error.number) + "] " + error.reason + ": " +
           repr(path) + ". Copy the bundle again.");
  }
}

// The JSON that a text with a checksum holds, without it; or what is wrong with it.
std::string checked_text(const std::string& raw, std::string& problem) {
  problem = utf8_problem(raw);
  if (!problem.empty()) return "";
  const std::string before = ",\n  \"checksum\": \"sha256:";
  const size_t mark = raw.rfind(before);
  if (mark == std::string::npos) {
    problem = "it has no checksum: it was cut off, or another version of hwnas wrote it";
    return "";
  }
  Sha256 digest;
  digest.update(raw.data(), mark);
  if (raw.substr(mark) != before + digest.hex_digest() + "\"\n}\n") {
    problem = "its checksum is not that of its content: it was damaged or edited";
    return "";
  }
  return raw.substr(0, mark) + "\n}";
}

Json json_object(const std::string& text, const std::string& path) {
  try {
    Json content = parse_json(text);
    if (!content.is_object()) {
      refuse(path + " must hold a JSON object, but holds " + type_name(content) + ".");
    }
    return content;
  } catch (const std::invalid_argument& error) {
    refuse(path + " is not JSON: " + error.what() + ". Copy the bundle again.");
  }
}

void check_keys(const Json& content, const std::string& directory) {
  const Json* version = find(content, "schema_version");
  if (!version || !version->is_number() || *version != kSchemaVersion) {
    refuse(directory + " has manifest schema version " + (version ? repr(*version) : "None") +
           ", but this hwnas reads " + std::to_string(kSchemaVersion) +
           ". Export again, or use the hwnas that wrote it.");
  }
  for (const auto& [key, expected] : kRequired) {
    const Json* value = find(content, key);
    if (!value) {
      refuse("The manifest of " + directory + " lacks '" + key + "'. Export the bundle again.");
    }
    if (std::strcmp(type_name(*value), expected) != 0) {
      refuse(std::string("`") + key + "` in the manifest of " + directory + " must be a " + expected + ", but is " +
             repr(*value) + ".");
    }
  }
}

// Whether a name, as PurePosixPath reads it, leads out of the bundle.
bool is_outside(const std::string& name) {
  if (name.empty() || name[0] == '/' || name.find('\\') != std::string::npos) return true;
  const std::string plain = plain_path(name);
  if (plain == ".") return true;
  for (size_t at = 0; at <= plain.size();) {
    const size_t end = std::min(plain.find('/', at), plain.size());
    if (plain.substr(at, end - at) == "..") return true;
    at = end + 1;
  }
  return false;
}

bool is_inside(const std::string& directory, const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path base = fs::weakly_canonical(directory, error);
  if (error) return false;
  const fs::path real = fs::weakly_canonical(path, error);
  if (error || real == base) return false;
  return std::mismatch(base.begin(), base.end(), real.begin(), real.end()).first == base.end();
}

void check_entry(const std::string& directory, const std::string& name, const Json& entry) {
  const std::string shown = repr(beginning(name, kShownOfName));
  if (is_outside(name)) {
    refuse("The manifest of " + directory + " lists " + shown + ", which is outside the bundle.");
  }
  if (!is_printable(name) || name.size() > kMaxNameBytes || plain_path(name) != name) {
    refuse("The manifest of " + directory + " lists " + shown +
           ", which is no plain name of a file. Export the bundle again.");
  }
  const std::string path = path_in(directory, name);
  if (!is_inside(directory, path)) {
    refuse(path + " is a link that leads out of the bundle; replace it by the file itself.");
  }
  const Json *sha256 = find(entry, "sha256"), *bytes = find(entry, "bytes");
  if (!sha256 || !bytes || entry.size() != 2 || !bytes->is_number_integer() || !sha256->is_string()) {
    refuse("The manifest of " + directory + " must give `sha256` and `bytes` of " + repr(name) +
           ".");
  }
}

std::vector<std::string> model_files(const Json& content, const std::string& directory) {
  const Json& precisions = content["precisions"];
  std::vector<std::string> files;
  for (const Json& entry : precisions) {
    const Json* file = find(entry, "file");
    if (file && file->is_string()) files.push_back(*file);
  }
  if (files.size() < precisions.size() || !precisions.contains("fp32") ||
      !precisions.contains(content["recommended_precision"].get<std::string>())) {
    refuse("The manifest of " + directory +
           " does not describe its precisions with their files, fp32 and a recommended one among them. Export the "
           "bundle again.");
  }
  return files;
}

void check_listed(const Json& content, const std::vector<std::string>& models, const std::string& directory) {
  const auto check = [&](const Json* name) {
    if (!name || !name->is_string() || !content["files"].contains(name->get<std::string>())) {
      refuse("The manifest of " + directory + " uses " + (name ? repr(*name) : "None") +
             " without listing its SHA-256.");
    }
  };
  check(find(content["model"], "file"));
  check(&content["weights"]);
  for (const std::string& model : models) {
    const Json name = model;
    check(&name);
  }
}

// Throws std::invalid_argument with what Python would raise.
std::vector<TensorSpec> tensors_of(const Json& io, const char* key) {
  const Json* listed = find(io, key);
  if (!listed) throw std::invalid_argument("KeyError(" + repr(key) + ")");
  if (!listed->is_array()) throw std::invalid_argument(std::string("TypeError('") + key + " is no list')");
  std::vector<TensorSpec> tensors;
  for (const Json& tensor : *listed) {
    for (const char* needed : {"name", "shape", "dtype"}) {
      if (!find(tensor, needed)) throw std::invalid_argument("KeyError(" + repr(needed) + ")");
    }
    const Json& name = tensor["name"];
    TensorSpec spec{name.is_string() ? name.get<std::string>() : repr(name), {}};
    if (!tensor["shape"].is_array()) throw std::invalid_argument("TypeError('a shape is no list')");
    for (const Json& size : tensor["shape"]) {
      if (!size.is_number_integer()) throw std::invalid_argument("ValueError('a size is no whole number')");
      spec.shape.push_back(size.get<int64_t>());
    }
    tensors.push_back(std::move(spec));
  }
  return tensors;
}

void read_io(Manifest& manifest) {
  try {
    manifest.inputs = tensors_of(manifest.content->at("io"), "inputs");
    manifest.outputs = tensors_of(manifest.content->at("io"), "outputs");
  } catch (const std::invalid_argument& error) {
    refuse("The manifest of " + manifest.directory + " has no valid `io` section: " + error.what() + ".");
  }
  if (manifest.inputs.empty() || manifest.outputs.empty()) {
    refuse("The manifest of " + manifest.directory + " states no inputs or no outputs. Export it again.");
  }
}

// What is wrong with a listed file; empty if nothing is.
std::string file_problem(const std::string& directory, const std::string& name, const Json& files) {
  const std::string path = path_in(directory, name);
  const Json& entry = files[name];
  struct stat status {};
  if (::stat(path.c_str(), &status) || !S_ISREG(status.st_mode)) return "is missing, or no file";
  if (entry["bytes"] != static_cast<uint64_t>(status.st_size)) {
    return "has " + std::to_string(status.st_size) + " bytes instead of " + entry["bytes"].dump();
  }
  std::string digest;
  try {
    digest = sha256_of_file(path);
  } catch (const SystemError& error) {
    throw Error(ErrorKind::kFileAccess, advice_on(error, path));
  }
  if (entry["sha256"] != digest) {
    return "was changed: its SHA-256 is " + digest + " instead of " + entry["sha256"].get<std::string>();
  }
  if (name.size() < 5 || name.substr(name.size() - 5) != ".onnx") return "";
  return external_data_problem(directory, name, [&](const std::string& other) { return files.contains(other); });
}

void check_files(const std::string& directory, const Json& files) {
  std::vector<std::string> problems;
  for (const auto& item : files.items()) {
    const std::string problem = file_problem(directory, item.key(), files);
    if (!problem.empty()) problems.push_back(item.key() + " " + problem);
  }
  if (problems.empty()) return;
  refuse(directory + ": " + joined(problems, "; ") +
         ". Copy the bundle again, or export it again if a change was meant.");
}

// The precision that the manifest recommends for a backend: fp32 where another one was clocked.
std::string recommended_of(const Json& content, const std::string& wanted) {
  const Json* stated = find(content, "recommendation");
  if (stated && stated->is_object()) {
    const Json* backend = find(*stated, "backend");
    if (!backend || *backend != wanted) return "fp32";
  }
  return content["recommended_precision"];
}

}  // namespace

Manifest read_manifest(const std::string& bundle, const std::optional<Trust>& trust) {
  const std::string directory = plain_path(bundle);
  const std::string path = path_in(directory, kName);
  std::string problem;
  const std::string raw = read_bytes(path);
  const std::string text = checked_text(raw, problem);  // damage is told as damage, not as a wrong signature
  if (!problem.empty()) {
    refuse(path + " is not as an export of this hwnas (schema version " + std::to_string(kSchemaVersion) +
           ") wrote it: " + problem + ". Copy the bundle again; if it was copied whole, export it again.");
  }
  if (trust) check_signature(directory, raw, *trust);  // before anything is parsed
  Manifest manifest{directory, std::make_shared<const Json>(json_object(text, path)), {}, {}};
  const Json& content = *manifest.content;
  check_keys(content, directory);
  for (const auto& item : content["files"].items()) check_entry(directory, item.key(), item.value());
  check_listed(content, model_files(content, directory), directory);
  read_io(manifest);
  check_files(directory, content["files"]);
  return manifest;
}

std::string precision_for(const Manifest& manifest, const std::string& precision, const std::string& backend) {
  return precision == "recommended" ? recommended_of(*manifest.content, backend) : precision;
}

const Json& entry_for(const Manifest& manifest, const std::string& precision, const std::string& backend) {
  const std::string name = precision_for(manifest, precision, backend);
  const Json& precisions = manifest.content->at("precisions");
  if (!precisions.contains(name)) {
    std::vector<std::string> held;
    for (const auto& item : precisions.items()) held.push_back(item.key());
    refuse(manifest.directory + " holds the precisions " + joined(held, ", ") + ", not " +
           repr(name) + ". Export it with `hwnas export --precision " + name + "`.");
  }
  for (const Json& entry : precisions) {
    const Json *stated = find(entry, "precision"), *backends = find(entry, "for");
    if (!stated || *stated != name || !backends || !backends->is_array()) continue;
    for (const Json& known : *backends) {
      if (known == backend) return entry;
    }
  }
  return precisions[name];
}

}  // namespace hwnas::runtime

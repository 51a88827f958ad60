// The manifest of a bundle, as hwnas.bundle.manifest reads it: the same checks, the same words.

#ifndef HWNAS_RUNTIME_SRC_MANIFEST_H_
#define HWNAS_RUNTIME_SRC_MANIFEST_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hwnas_runtime/runtime.hpp"
#include "json_forward.h"

namespace hwnas::runtime {

struct Manifest {
  std::string directory;
  std::shared_ptr<const Json> content;  // the document without its checksum
  std::vector<TensorSpec> inputs, outputs;
};

// Reads a manifest and checks every file that it lists.
// trust: who must have signed it; empty takes unsigned ones, too.
// Throws Error (kBundle) if it is missing, not as it was written, not signed as wanted, of another schema version or
// incomplete, or if a file is missing, lies outside the bundle, or has another size or SHA-256 than listed.
Manifest read_manifest(const std::string& bundle, const std::optional<Trust>& trust = {});

constexpr const char* kOnnxRuntime = "onnxruntime";

// The precision itself, or for `recommended` what the manifest recommends for a backend.
std::string precision_for(const Manifest& manifest, const std::string& precision, const std::string& backend);

// What the manifest says about the file of a precision for a backend, or of the recommended one for `recommended`.
// Throws Error (kBundle) if the bundle does not hold it.
const Json& entry_for(const Manifest& manifest, const std::string& precision,
                      const std::string& backend = kOnnxRuntime);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_MANIFEST_H_

#include "engines.h"

#include <vector>

#include "deployment.h"
#include "files.h"
#include "hwnas_runtime/error.hpp"
#include "json.h"
#include "text.h"

namespace hwnas::runtime {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::kBundle, message); }

// A member as an f-string of Python shows it.
std::string shown(const Json& entry, const char* key) {
  const Json* value = find(entry, key);
  return value ? text_of(*value) : "None";
}

}  // namespace

std::string engine_of(const Manifest& manifest, const std::string& product, const std::string& precision) {
  if (product != "tensorrt" && product != "tensorrt-rtx") {
    refuse("The runtime must be onnxruntime or one of ('tensorrt', 'tensorrt-rtx'), but is " + repr(product) + ".");
  }
  const Json& content = *manifest.content;
  const Json& model = entry_for(manifest, precision, product);
  const Json* stated = find(model, "precision");
  const std::string name = stated ? text_of(*stated) : precision_for(manifest, precision, product);
  const std::string file = model["file"];
  const Json none = Json::array();
  const Json* given = find(content, "engines");
  const Json& listed = given ? *given : none;
  bool are_objects = listed.is_array();
  for (const Json& entry : listed) are_objects = are_objects && entry.is_object();
  if (!are_objects) refuse("`engines` in the manifest of " + manifest.directory + " must be a list of objects.");
  const Json* engine = nullptr;
  std::vector<std::string> there;
  for (const Json& entry : listed) {
    there.push_back(shown(entry, "product") + " " + shown(entry, "precision"));
    const Json *of = find(entry, "product"), *in = find(entry, "precision");
    if (!engine && of && in && *of == product && *in == name) engine = &entry;
  }
  if (!engine) {
    refuse(manifest.directory + " holds no engine of " + product + " in " + name + ", but " +
           (there.empty() ? "none" : joined(there, ", ")) + ". Export it with `hwnas export --engine`.");
  }
  const Json& files = content["files"];
  const Json *path = find(*engine, "file"), *built_from = find(*engine, "model_sha256");
  if (!path || !path->is_string() || !files.contains(path->get<std::string>())) {
    refuse("The manifest of " + manifest.directory + " uses an engine without listing its SHA-256.");
  }
  if (!built_from || *built_from != files[file]["sha256"]) {
    refuse(path->get<std::string>() + " in " + manifest.directory + " was built from another model than " + file +
           ". Export again.");
  }
  return path_in(manifest.directory, *path);
}

#ifndef HWNAS_TENSORRT

std::unique_ptr<Session> open_tensorrt_session(const std::string& path, const TensorRtOptions&) {
  refuse("Running " + path +
         " needs a hwnas_runtime that was built with -DHWNAS_TENSORRT=ON, and this one was not. Build it so, or use "
         "onnxruntime.");
}

#endif

}  // namespace hwnas::runtime

// Engines of a bundle, as hwnas.bundle.runtime.engine_predictor finds them.

#ifndef HWNAS_RUNTIME_SRC_ENGINES_H_
#define HWNAS_RUNTIME_SRC_ENGINES_H_

#include <string>

#include "manifest.h"

namespace hwnas::runtime {

// Path of the engine that a precision was built into.
// product: `tensorrt` or `tensorrt-rtx`.
// Throws Error (kBundle) if the bundle holds none, or its manifest does not describe it well.
std::string engine_of(const Manifest& manifest, const std::string& product, const std::string& precision);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_ENGINES_H_

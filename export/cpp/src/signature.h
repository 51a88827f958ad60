// Signatures of manifests: those of OpenSSH, checked by its own `ssh-keygen -Y verify`.

#ifndef HWNAS_RUNTIME_SRC_SIGNATURE_H_
#define HWNAS_RUNTIME_SRC_SIGNATURE_H_

#include <string>

#include "hwnas_runtime/runtime.hpp"

namespace hwnas::runtime {

// Returns if `manifest`, the bytes that will be used, was signed by whom we trust, with the signature that lies in
// the bundle. Throws Error: kBundle if there is no signature, it is not one, it is by another key or over other
// bytes, the file of allowed signers does not exist, or there is no ssh-keygen; kFileAccess if there is no place
// for temporary files.
void check_signature(const std::string& directory, const std::string& manifest, const Trust& trust);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_SIGNATURE_H_

// Files with weights that an ONNX file keeps outside itself.

#ifndef HWNAS_RUNTIME_SRC_MODEL_FILES_H_
#define HWNAS_RUNTIME_SRC_MODEL_FILES_H_

#include <functional>
#include <string>

namespace hwnas::runtime {

// What is wrong with the external data of a model of a bundle; empty if nothing is, or there is none. Whether
// offsets and lengths fit the files is left to ONNX Runtime.
//
// is_listed: whether the manifest lists a file, as it must every one that the model reads.
std::string external_data_problem(const std::string& directory, const std::string& name,
                                  const std::function<bool(const std::string&)>& is_listed);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_MODEL_FILES_H_

// The type of JSON values, where its name is enough: its header takes seconds to compile.

#ifndef HWNAS_RUNTIME_SRC_JSON_FORWARD_H_
#define HWNAS_RUNTIME_SRC_JSON_FORWARD_H_

#include <nlohmann/json_fwd.hpp>

namespace hwnas::runtime {

using Json = nlohmann::ordered_json;  // which keeps the order of the file

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_JSON_FORWARD_H_

// What a manifest says about pre- and post-processing, as the processor `lidar-range-view` of hwnas reads it.

#ifndef HWNAS_RUNTIME_SRC_DEPLOYMENT_H_
#define HWNAS_RUNTIME_SRC_DEPLOYMENT_H_

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "json_forward.h"
#include "settings.h"

namespace hwnas::runtime {

struct Manifest;

// That a section does not say what it must; the text is the exception that Python would raise.
class StatementError : public std::runtime_error {
 public:
  StatementError(const std::string& type, const std::string& message);
};

// Members of an object with the type that is wanted. All throw StatementError.
const Json& member_of(const Json& value, const char* key);
double number_of(const Json& value);
std::vector<double> numbers_of(const Json& value);
int64_t whole_number_of(const Json& value);
std::string text_of(const Json& value);

// Refuses a value as Python does with a DataError.
[[noreturn]] void data_error(const std::string& message);

// Throws StatementError.
LabelMap label_map_of(const Json& value);

// Throws Error (kBundle or kPlugin) if the manifest does not say how to label LiDAR points.
Deployment read_deployment(const Manifest& manifest);

// The error of a section that does not say it.
[[noreturn]] void refuse_deployment(const Manifest& manifest, const StatementError& error);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_DEPLOYMENT_H_

// Errors that a user can act on: what was expected, what was found and what to do.

#ifndef HWNAS_RUNTIME_ERROR_HPP_
#define HWNAS_RUNTIME_ERROR_HPP_

#include <stdexcept>
#include <string>

namespace hwnas::runtime {

/// Kinds of errors; the numbers are the exit codes of `hwnas_infer` and of the commands of hwnas.
enum class ErrorKind {
  kInternal = 1,    ///< a defect of the library, or no memory
  kArgument = 2,    ///< an option is wrong
  kData = 3,        ///< a scan cannot be used, or contradicts what the network was trained on
  kBundle = 7,      ///< a bundle is incomplete, changed, or made for something else; or its runtime is missing
  kPlugin = 9,      ///< a bundle needs a processor that this library does not have
  kFileAccess = 10  ///< the operating system refuses a file or directory
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_ERROR_HPP_

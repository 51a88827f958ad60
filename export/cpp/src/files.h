// Files of the operating system, and what it says when it refuses one.

#ifndef HWNAS_RUNTIME_SRC_FILES_H_
#define HWNAS_RUNTIME_SRC_FILES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hwnas::runtime {

// That the operating system refuses a file: `number` is that of errno, `reason` what it means.
struct SystemError {
  int number;
  std::string reason;
};

// Content of a plain file of at most `most_bytes`; directories, pipes and devices are refused, not waited for.
// Throws SystemError.
std::string read_plain_file(const std::string& path, uint64_t most_bytes);

// 64 hexadecimal digits. Throws SystemError.
std::string sha256_of_file(const std::string& path);

// Writes a file that is either whole or as it was before. Throws SystemError.
void write_atomically(const std::string& path, std::string_view content);

// A path as `pathlib` writes it: without `.`, empty parts and a slash at the end.
std::string plain_path(std::string_view path);

// The path of something in a directory, both plain.
std::string path_in(const std::string& directory, const std::string& name);

// What a user can do about a path that the operating system refuses, as the commands of hwnas say it.
std::string advice_on(const SystemError& error, const std::string& path);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_FILES_H_

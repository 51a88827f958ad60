#include "files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "sha256.h"
#include "text.h"

namespace hwnas::runtime {
namespace {

[[noreturn]] void refuse(int number) { throw SystemError{number, std::strerror(number)}; }

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  operator int() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

int open_plain(const std::string& path, uint64_t& size) {
  if (path.find('\0') != std::string::npos) throw SystemError{EINVAL, "its name holds a zero byte"};
  // Opening a pipe would wait for a writer.
  Descriptor file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (file < 0) refuse(errno);
  struct stat status {};
  if (::fstat(file, &status)) refuse(errno);
  if (S_ISDIR(status.st_mode)) throw SystemError{EISDIR, "it is a directory, expected a file"};
  if (!S_ISREG(status.st_mode)) throw SystemError{EINVAL, "it is a pipe or device, expected a file"};
  size = static_cast<uint64_t>(status.st_size);
  return file.release();
}

size_t read_some(int file, char* target, size_t most) {
  while (true) {
    const ssize_t got = ::read(file, target, most);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) refuse(errno);
  }
}

void write_all(int file, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = ::write(file, content.data(), content.size());
    if (written < 0 && errno != EINTR) refuse(errno);
    if (written > 0) content.remove_prefix(static_cast<size_t>(written));
  }
}

// A new file that is as readable as any other of the user: mkostemp makes private ones, and asking for the umask would
// change it for all threads. path: how its name begins, and then its whole name.
int new_file(std::string& path) {
  static std::atomic<uint64_t> last{0};
  const std::string beginning = path;
  while (true) {
    const auto now = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
    path = beginning + std::to_string(::getpid()) + "-" + std::to_string((now + ++last) % 1000000000);
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0 || errno != EEXIST) return file;
  }
}

std::string with_thousands(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
  return digits;
}

}  // namespace

std::string read_plain_file(const std::string& path, uint64_t most_bytes) {
  uint64_t size = 0;
  const Descriptor file(open_plain(path, size));
  std::string content;
  if (size <= most_bytes) {
    content.resize(static_cast<size_t>(size) + 1);
    size_t filled = 0;
    while (filled <= most_bytes) {
      if (filled == content.size()) content.resize(2 * content.size());  // it grew, or states no size
      const size_t got = read_some(file, content.data() + filled, content.size() - filled);
      if (!got) break;
      filled += got;
    }
    content.resize(filled);
    if (filled <= most_bytes) return content;
  }
  throw SystemError{EFBIG, "it has more than " + with_thousands(most_bytes) + " bytes"};
}

std::string sha256_of_file(const std::string& path) {
  uint64_t size = 0;
  const Descriptor file(open_plain(path, size));
  Sha256 digest;
  std::string piece(size_t{1} << 18, '\0');
  while (const size_t got = read_some(file, piece.data(), piece.size())) digest.update(piece.data(), got);
  return digest.hex_digest();
}

void write_atomically(const std::string& path, std::string_view content) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  const std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  std::string temporary = directory + "." + name.substr(0, 100) + ".";
  Descriptor file(new_file(temporary));
  if (file < 0) refuse(errno);
  try {
    write_all(file, content);
    if (::fsync(file)) refuse(errno);
    if (::close(file.release())) refuse(errno);
    if (::rename(temporary.c_str(), path.c_str())) refuse(errno);
  } catch (const SystemError&) {
    ::unlink(temporary.c_str());
    throw;
  }
}

std::string plain_path(std::string_view path) {
  std::string result = path.substr(0, 1) == "/" ? "/" : "";
  if (path.substr(0, 2) == "//" && path.substr(0, 3) != "///") result = "//";  // POSIX: it may mean something else
  const size_t root = result.size();
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    if (!part.empty() && part != ".") {
      if (result.size() > root) result += '/';
      result += part;
    }
    at = end + 1;
  }
  return result.empty() ? "." : result;
}

std::string path_in(const std::string& directory, const std::string& name) {
  if (directory == ".") return name;
  return directory.back() == '/' ? directory + name : directory + "/" + name;
}

std::string advice_on(const SystemError& error, const std::string& path) {
  struct Remedy {
    int number;
    const char* what;
    const char* remedy;
  };
  static constexpr std::array<Remedy, 8> kRemedies = {{
      {ENOSPC, "the disk is full",
       "Make room (`df -h` shows where), then give the same command again; what was finished is kept."},
      {EROFS, "the file system is read-only", "Mount it writable, or name another place."},
      {EACCES, "permission is denied", "Check the permissions of the path and of what is above it."},
      {ENOTDIR, "a file is in the way where a directory must be", "Move it away, or name another place."},
      {EISDIR, "a directory is in the way where a file must be", "Move it away, or name another place."},
      {ENAMETOOLONG, "the name is too long for the file system",
       "Names may have 255 bytes on most, whole paths 4095; choose shorter ones."},
      {ENOENT, "it does not exist", "Check how the path is written, and make the directory it is in."},
      {EIO, "the device reports an error", "Check the disk (`dmesg`), and use another one."},
  }};
  for (const Remedy& known : kRemedies) {
    if (known.number == error.number) return repr(path) + " cannot be used: " + known.what + ". " + known.remedy;
  }
  return repr(path) + " cannot be used: " + error.reason + ". Name another place.";
}

}  // namespace hwnas::runtime

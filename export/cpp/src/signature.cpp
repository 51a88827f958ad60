#include "signature.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>
#include <vector>

#include "files.h"
#include "text.h"

extern char** environ;

namespace hwnas::runtime {
namespace {

constexpr const char* kSignature = "manifest.json.sig";
// What is signed: a signature that a key made over anything else, such as a commit, does not fit.
constexpr const char* kNamespace = "hwnas-bundle";
constexpr const char* kSpaces = " \t\n\v\f\r";
constexpr uint64_t kMaxBytes = 1 << 16;
constexpr std::chrono::seconds kTimeout{60};
constexpr std::chrono::milliseconds kPause{2};

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::kBundle, message); }

// A private directory for the files that ssh-keygen is given and writes.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    const char* stated = std::getenv("TMPDIR");
    const std::string above = stated && *stated ? stated : "/tmp";
    path_ = path_in(plain_path(above), "hwnas-signature-XXXXXX");
    if (!::mkdtemp(path_.data())) {
      throw Error(ErrorKind::kFileAccess, advice_on({errno, std::strerror(errno)}, above));
    }
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  std::string file(const char* name) const { return path_in(path_, name); }
  std::string filled(const char* name, const std::string& content) const {
    const std::string path = file(name);
    try {
      write_atomically(path, content);
    } catch (const SystemError& error) {
      throw Error(ErrorKind::kFileAccess, advice_on(error, path));
    }
    return path;
  }

 private:
  std::string path_;
};

std::string read_signature(const std::string& directory) {
  const std::string path = path_in(directory, kSignature);
  const std::string missing = directory + " is not signed (it holds no " + kSignature +
                              "), but a signature is required. Export it with `hwnas export --sign KEY`, or get it "
                              "from its signer.";
  struct stat status {};
  if (!::lstat(path.c_str(), &status) && S_ISLNK(status.st_mode)) refuse(missing);
  try {
    return read_plain_file(path, kMaxBytes);
  } catch (const SystemError& error) {
    for (const int number : {ENOENT, ENOTDIR, EISDIR, EINVAL, ENXIO}) {
      if (error.number == number) refuse(missing);
    }
    if (error.number == EFBIG) {
      refuse(path + " is larger than any " + kSignature + " (" + std::to_string(kMaxBytes) +
             " bytes). Copy the bundle again.");
    }
    refuse(path + " cannot be read: [Errno " + std::to_string(error.number) + "] " + error.reason + ": " +
           repr(path) + ". Copy the bundle again.");
  }
}

std::string listed(const std::vector<std::string>& command) {
  std::vector<std::string> parts;
  for (const std::string& word : command) parts.push_back(repr(word));
  return "[" + joined(parts, ", ") + "]";
}

[[noreturn]] void refuse_start(int number, const std::vector<std::string>& command) {
  if (number == ENOENT) refuse("Signatures need OpenSSH's `ssh-keygen` (8.1 or newer); install it.");
  refuse("ssh-keygen could not be run ([Errno " + std::to_string(number) + "] " + std::strerror(number) + ": " +
         repr(command[0]) + "): " + listed(command) + ".");
}

// Starts a program with its input and outputs in files, and returns its number.
pid_t start(const std::vector<std::string>& command, const std::string& in, const std::string& out,
            const std::string& err) {
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, in.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT, 0600);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT, 0600);
  pid_t child = 0;
  const int failed = ::posix_spawnp(&child, words[0], &files, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (failed) refuse_start(failed, command);
  return child;
}

// Waits for a program, kills it after the timeout, and returns whether it ended well.
bool ends_well(pid_t child, const std::vector<std::string>& command) {
  const auto last = std::chrono::steady_clock::now() + kTimeout;
  int status = 0;
  while (true) {
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (ended < 0 && errno != EINTR) refuse_start(errno, command);  // the caller ignores SIGCHLD, for one
    if (std::chrono::steady_clock::now() > last) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      refuse("ssh-keygen did not end within " + std::to_string(kTimeout.count()) + " s: " + joined(command, " ") + ".");
    }
    std::this_thread::sleep_for(kPause);
  }
}

// What a program wrote, in one line.
std::string said(const std::string& err, const std::string& out) {
  std::string line;
  for (const std::string& path : {err, out}) {
    std::string text;
    try {
      text = read_plain_file(path, kMaxBytes);
    } catch (const SystemError&) {  // it wrote nothing, or more than belongs into a message
    }
    line += line.empty() ? "" : " ";
    bool is_between = true;
    for (const char letter : text) {
      const bool is_space = is_one_of(letter, kSpaces);
      if (is_space && !is_between) line += ' ';
      if (!is_space) line += letter;
      is_between = is_space;
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
  }
  return line;
}

bool is_blank(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char letter) { return is_one_of(letter, kSpaces); });
}

}  // namespace

void check_signature(const std::string& directory, const std::string& manifest, const Trust& trust) {
  if (is_blank(trust.identity)) {
    refuse("The identity that must have signed is empty; name one of the allowed signers.");
  }
  const std::string allowed = plain_path(trust.allowed_signers);
  struct stat status {};
  if (trust.allowed_signers.find('\0') != std::string::npos || ::stat(allowed.c_str(), &status) ||
      !S_ISREG(status.st_mode)) {
    refuse("There is no allowed-signers file " + allowed +
           ". It holds a line `IDENTITY KEYTYPE KEY` for each key that may sign bundles; see ssh-keygen(1).");
  }
  const std::string signature = read_signature(directory);
  const ScratchDirectory scratch;
  // A copy: what ssh-keygen is given is what was looked at, and is no link to elsewhere.
  const std::string copy = scratch.filled(kSignature, signature);
  const std::vector<std::string> command = {
      "ssh-keygen", "-Y",           "verify", "-f",       std::filesystem::absolute(allowed).string(), "-I",
      trust.identity, "-n",         kNamespace, "-s",     copy};
  if (trust.identity.find('\0') != std::string::npos) {
    refuse("ssh-keygen could not be run (embedded null byte): " + listed(command) + ".");
  }
  const std::string in = scratch.filled("manifest.json", manifest);
  const std::string out = scratch.file("out"), err = scratch.file("err");
  if (ends_well(start(command, in, out, err), command)) return;
  refuse(directory + " is not signed by " + repr(trust.identity) + " as " + allowed +
         " has it, or its manifest was changed afterwards (ssh-keygen: " + said(err, out) +
         "). Get the bundle from its signer again; do not run this one.");
}

}  // namespace hwnas::runtime

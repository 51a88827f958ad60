// How many threads one inference may have: more than a few for each core only wait for each other.

#ifndef HWNAS_RUNTIME_SRC_THREAD_COUNTS_H_
#define HWNAS_RUNTIME_SRC_THREAD_COUNTS_H_

#include <algorithm>
#include <string>

#include <unistd.h>

#include "hwnas_runtime/error.hpp"

namespace hwnas::runtime {

// As `hwnas/thread_counts.py` has it.
inline long most_threads() { return std::max(64L, 4 * ::sysconf(_SC_NPROCESSORS_ONLN)); }

// stated: the number in words.
[[noreturn]] inline void refuse_threads(const std::string& stated) {
  throw Error(ErrorKind::kArgument, "The number of threads is " + stated +
                                        "; expected a whole number from 0, which is one for every core, to " +
                                        std::to_string(most_threads()) + ".");
}

inline void check_threads(int threads) {
  if (threads < 0 || threads > most_threads()) refuse_threads(std::to_string(threads));
}

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_THREAD_COUNTS_H_

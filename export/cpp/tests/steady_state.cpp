// steady_state BUNDLE SCAN.bin...: labels the scans again and again, and fails if anything but the first round asks
// the system for memory.

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "fake_session.h"
#include "hwnas_runtime/runtime.hpp"

namespace {

std::atomic<long> allocations{0};

void* counted(std::size_t size, std::size_t alignment) {
  ++allocations;
  void* taken = alignment > alignof(std::max_align_t)
                    ? std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment)
                    : std::malloc(size);
  return taken;
}

// Not inlined: compilers would take it for the wrong way to give back what `new` returned.
[[gnu::noinline]] void give_back(void* taken) { std::free(taken); }

void* counted_or_throw(std::size_t size, std::size_t alignment) {
  void* taken = counted(size ? size : 1, alignment);
  if (!taken) throw std::bad_alloc();
  return taken;
}

}  // namespace

void* operator new(std::size_t size) { return counted_or_throw(size, 0); }
void* operator new[](std::size_t size) { return counted_or_throw(size, 0); }
void* operator new(std::size_t size, std::align_val_t a) {
  return counted_or_throw(size, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t size, std::align_val_t a) {
  return counted_or_throw(size, static_cast<std::size_t>(a));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return counted(size ? size : 1, 0); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return counted(size ? size : 1, 0); }
void operator delete(void* taken) noexcept { give_back(taken); }
void operator delete[](void* taken) noexcept { give_back(taken); }
void operator delete(void* taken, std::size_t) noexcept { give_back(taken); }
void operator delete[](void* taken, std::size_t) noexcept { give_back(taken); }
void operator delete(void* taken, std::align_val_t) noexcept { give_back(taken); }
void operator delete[](void* taken, std::align_val_t) noexcept { give_back(taken); }
void operator delete(void* taken, std::size_t, std::align_val_t) noexcept { give_back(taken); }
void operator delete[](void* taken, std::size_t, std::align_val_t) noexcept { give_back(taken); }

int main(int argc, char** argv) {
  namespace rt = hwnas::runtime;
  const std::string bundle = argv[1];
  rt::Options options;
  options.open_session = [&](const std::string&) { return rt::FakeSession::of(bundle); };
  rt::Runner runner(bundle, options);
  std::vector<rt::StoredScan> scans;
  for (int i = 2; i < argc; ++i) scans.push_back(rt::ScanFiles(runner).read(argv[i]));
  rt::Result result;
  const auto round = [&] {
    const long before = allocations;
    for (const rt::StoredScan& scan : scans) {
      runner.label(scan.view(), result);
      if (!result.warnings.empty()) std::printf("warning: %s\n", result.warnings[0].c_str());
    }
    return allocations - before;
  };
  const long first = round(), second = round(), third = round(), fourth = round();
  std::printf("%ld %ld %ld %ld\n", first, second, third, fourth);
  return first > 0 && second + third + fourth == 0 ? 0 : 1;
}

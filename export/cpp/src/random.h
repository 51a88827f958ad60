// The random numbers of `numpy.random.default_rng(seed)`: PCG64 (O'Neill, HMC-CS-2014-0905) seeded by numpy's
// SeedSequence. They are the same on every machine and in every version of numpy since 1.17.

#ifndef HWNAS_RUNTIME_SRC_RANDOM_H_
#define HWNAS_RUNTIME_SRC_RANDOM_H_

#include <cstdint>

namespace hwnas::runtime {

class Random {
 public:
  explicit Random(uint64_t seed);
  // 0 to 1, without 1.
  double real();
  // 0 to below `count`, which is at least 1 and below 2^32.
  uint32_t below(uint32_t count);

 private:
  using Wide = unsigned __int128;

  void step();
  uint64_t next64();
  uint32_t next32();

  Wide state_ = 0, increment_ = 0;
  uint32_t kept_ = 0;
  bool has_kept_ = false;
};

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_RANDOM_H_

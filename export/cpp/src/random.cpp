#include "random.h"

#include <array>
#include <cstddef>

namespace hwnas::runtime {
namespace {

class Hash {
 public:
  Hash(uint32_t first, uint32_t factor) : constant_(first), factor_(factor) {}
  uint32_t operator()(uint32_t value) {
    value ^= constant_;
    constant_ *= factor_;
    value *= constant_;
    return value ^ value >> 16;
  }

 private:
  uint32_t constant_;
  const uint32_t factor_;
};

uint32_t mix(uint32_t first, uint32_t second) {
  const uint32_t mixed = 0xca01f9ddu * first - 0x4973f715u * second;
  return mixed ^ mixed >> 16;
}

std::array<uint64_t, 4> seeds_of(uint64_t seed) {
  const std::array<uint32_t, 4> entropy = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), 0, 0};
  std::array<uint32_t, 4> pool{};
  Hash in(0x43b0d7e5u, 0x931e8875u), out(0x8b51f9ddu, 0x58f38dedu);
  for (size_t i = 0; i < 4; ++i) pool[i] = in(entropy[i]);
  for (size_t from = 0; from < 4; ++from) {
    for (size_t to = 0; to < 4; ++to) {
      if (from != to) pool[to] = mix(pool[to], in(pool[from]));
    }
  }
  std::array<uint64_t, 4> seeds{};
  for (size_t i = 0; i < 8; ++i) seeds[i / 2] |= static_cast<uint64_t>(out(pool[i % 4])) << (i % 2 ? 32 : 0);
  return seeds;
}

}  // namespace

Random::Random(uint64_t seed) {
  const std::array<uint64_t, 4> seeds = seeds_of(seed);
  increment_ = (static_cast<Wide>(seeds[2]) << 64 | seeds[3]) << 1 | 1;
  step();
  state_ += static_cast<Wide>(seeds[0]) << 64 | seeds[1];
  step();
}

void Random::step() {
  constexpr Wide kFactor = static_cast<Wide>(0x2360ed051fc65da4u) << 64 | 0x4385df649fccf645u;
  state_ = state_ * kFactor + increment_;
}

uint64_t Random::next64() {
  step();
  const auto high = static_cast<uint64_t>(state_ >> 64);
  const uint64_t mixed = high ^ static_cast<uint64_t>(state_);
  const auto by = static_cast<int>(high >> 58);
  return by ? mixed >> by | mixed << (64 - by) : mixed;
}

uint32_t Random::next32() {
  has_kept_ = !has_kept_;
  if (!has_kept_) return kept_;
  const uint64_t next = next64();
  kept_ = static_cast<uint32_t>(next >> 32);
  return static_cast<uint32_t>(next);
}

double Random::real() { return static_cast<double>(next64() >> 11) * (1.0 / 9007199254740992.0); }

// Lemire, "Fast Random Integer Generation in an Interval", ACM TOMACS 29, 2019.
uint32_t Random::below(uint32_t count) {
  if (count == 1) return 0;
  uint64_t product = static_cast<uint64_t>(next32()) * count;
  if (static_cast<uint32_t>(product) < count) {
    const uint32_t threshold = (0u - count) % count;
    while (static_cast<uint32_t>(product) < threshold) product = static_cast<uint64_t>(next32()) * count;
  }
  return static_cast<uint32_t>(product >> 32);
}

}  // namespace hwnas::runtime

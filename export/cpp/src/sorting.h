// Sorting of numbers by their digits, which takes the same time for all orders.

#ifndef HWNAS_RUNTIME_SRC_SORTING_H_
#define HWNAS_RUNTIME_SRC_SORTING_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../scratch.h"

namespace hwnas::runtime {

// Whole numbers that order as floating-point ones do, and these again. Zeros are one number; none may be NaN.
inline uint32_t key_of(float value) {
  const float number = value + 0.0f;
  uint32_t bits;
  std::memcpy(&bits, &number, sizeof(bits));
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
inline uint64_t key_of(double value) {
  const double number = value + 0.0;
  uint64_t bits;
  std::memcpy(&bits, &number, sizeof(bits));
  return bits >> 63 ? ~bits : bits | uint64_t{1} << 63;
}
inline float value_of(uint32_t key) {
  const uint32_t bits = key >> 31 ? key & 0x7fffffffu : ~key;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// Sorts by `key_of_entry(entry)`, a whole number; equal ones stay in their order.
template <typename Entry, typename KeyOf>
void sort_by_digits(Room<Entry>& entries, KeyOf key_of_entry) {
  using Key = std::decay_t<decltype(key_of_entry(entries[0]))>;
  constexpr unsigned kBits = 11, kDigits = 1u << kBits, kPasses = (8 * sizeof(Key) + kBits - 1) / kBits;
  if (entries.size() < 2) return;
  Vector<uint32_t> counts(kPasses * kDigits, 0);
  for (const Entry& entry : entries) {
    const Key key = key_of_entry(entry);
    for (unsigned pass = 0; pass < kPasses; ++pass) ++counts[pass * kDigits + (key >> pass * kBits) % kDigits];
  }
  Room<Entry> other(entries.size());
  for (unsigned pass = 0; pass < kPasses; ++pass) {
    uint32_t* const place = counts.data() + pass * kDigits;
    if (place[(key_of_entry(entries[0]) >> pass * kBits) % kDigits] == entries.size()) continue;  // all have this digit
    uint32_t next = 0;
    for (unsigned digit = 0; digit < kDigits; ++digit) {
      const uint32_t number = place[digit];
      place[digit] = next;
      next += number;
    }
    for (const Entry& entry : entries) other[place[(key_of_entry(entry) >> pass * kBits) % kDigits]++] = entry;
    entries.swap(other);
  }
}

// Sorts numbers of which none is NaN.
inline void sort_numbers(Vector<float>& values) {
  constexpr size_t kFewest = 512;  // fewer are sorted faster by comparisons
  if (values.size() < kFewest) {
    std::sort(values.begin(), values.end());
    return;
  }
  Room<uint32_t> keys(values.size());
  std::transform(values.begin(), values.end(), keys.begin(), [](float value) { return key_of(value); });
  sort_by_digits(keys, [](uint32_t key) { return key; });
  std::transform(keys.begin(), keys.end(), values.begin(), value_of);
}

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_SORTING_H_

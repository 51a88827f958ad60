// Four numbers at a time, in registers that every x86-64 and aarch64 has. Each operation rounds as that of one number
// does, so that results are the same on all machines. Vectors of gcc and clang. Part of range_view.cpp and of the
// runtime library.

#ifndef HWNAS_LANES_H_
#define HWNAS_LANES_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace hwnas {

constexpr size_t kLanes = 4;
using Floats = float __attribute__((vector_size(16)));
using Words = int32_t __attribute__((vector_size(16)));  // results of comparisons too: -1 for true, 0 for false
using Bits = uint32_t __attribute__((vector_size(16)));
using Pairs = int64_t __attribute__((vector_size(16)));

inline Floats all_of(float value) { return Floats{value, value, value, value}; }
inline Words all_of(int32_t value) { return Words{value, value, value, value}; }

inline Floats load(const float* from) {
  Floats value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}
inline void store(float* to, Floats value) { std::memcpy(to, &value, sizeof(value)); }
inline void store(int32_t* to, Words value) { std::memcpy(to, &value, sizeof(value)); }

inline Words load(const int32_t* from) {
  Words value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

// Calls run(first, number) for each four of some, of which the last may be fewer.
template <typename Run>
void for_each_four(size_t count, Run run) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) run(i, kLanes);
  if (i < count) run(i, count - i);
}

// The first of four; those beyond are 0.
template <typename T>
auto load(const T* from, size_t number) {
  if (number == kLanes) return load(from);
  T values[kLanes] = {};
  std::memcpy(values, from, number * sizeof(T));
  return load(values);
}

template <typename T, typename Four>
void store(T* to, Four values, size_t number) {
  if (number == kLanes) return store(to, values);
  std::memcpy(to, &values, number * sizeof(T));
}

// Bits of one as the other.
inline Words bits_of(Floats value) { return reinterpret_cast<Words>(value); }
inline Floats floats_of(Words bits) { return reinterpret_cast<Floats>(bits); }

// As those of x86: the second where either is NaN.
inline Floats lower_of(Floats first, Floats second) {
#if defined(__SSE2__)
  return _mm_min_ps(first, second);
#else
  return first < second ? first : second;
#endif
}
inline Floats higher_of(Floats first, Floats second) {
#if defined(__SSE2__)
  return _mm_max_ps(first, second);
#else
  return first > second ? first : second;
#endif
}

// Sums that begin anew at 2^32.
inline Words sum_of_bits(Words bits, Words others) {
  return reinterpret_cast<Words>(reinterpret_cast<Bits>(bits) + reinterpret_cast<Bits>(others));
}

inline Words chosen(Words which, Words yes, Words no) { return (which & yes) | (~which & no); }
inline Floats chosen(Words which, Floats yes, Floats no) {
  return floats_of(chosen(which, bits_of(yes), bits_of(no)));
}

inline Floats where(Words which, Floats value) { return floats_of(which & bits_of(value)); }  // else 0

inline Floats size_of(Floats value) { return floats_of(bits_of(value) & 0x7fffffff); }

inline Floats root_of(Floats value) {
#if defined(__SSE2__)
  return _mm_sqrt_ps(value);
#elif defined(__aarch64__)
  return vsqrtq_f32(value);
#else
  return Floats{std::sqrt(value[0]), std::sqrt(value[1]), std::sqrt(value[2]), std::sqrt(value[3])};
#endif
}

// Of numbers that an int32_t can hold, toward zero.
inline Words truncated(Floats value) { return __builtin_convertvector(value, Words); }

// The floor of numbers that an int32_t can hold.
inline Words whole(Floats value) {
  const Words number = truncated(value);
  return number + (value < __builtin_convertvector(number, Floats));
}

inline int sign_bits(Words value) {
#if defined(__SSE2__)
  return _mm_movemask_ps(reinterpret_cast<__m128>(value));
#else
  return (value[0] < 0) | (value[1] < 0) << 1 | (value[2] < 0) << 2 | (value[3] < 0) << 3;
#endif
}
inline bool is_any(Words which) { return sign_bits(which) != 0; }
inline bool is_each(Words which) { return sign_bits(which) == 15; }

// The first, or the second, of each of four pairs of words.
inline Words firsts(Pairs low, Pairs high) {
#if defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(reinterpret_cast<Words>(low), reinterpret_cast<Words>(high), 0, 2, 4, 6);
#else
  return __builtin_shuffle(reinterpret_cast<Words>(low), reinterpret_cast<Words>(high), Words{0, 2, 4, 6});
#endif
}
inline Words seconds(Pairs low, Pairs high) {
#if defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(reinterpret_cast<Words>(low), reinterpret_cast<Words>(high), 1, 3, 5, 7);
#else
  return __builtin_shuffle(reinterpret_cast<Words>(low), reinterpret_cast<Words>(high), Words{1, 3, 5, 7});
#endif
}

}  // namespace hwnas

#endif  // HWNAS_LANES_H_

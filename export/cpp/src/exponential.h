// Exponentials of four numbers at a time, the same on all machines; libraries differ in theirs.

#ifndef HWNAS_RUNTIME_SRC_EXPONENTIAL_H_
#define HWNAS_RUNTIME_SRC_EXPONENTIAL_H_

#include "../lanes.h"

namespace hwnas::runtime {

// Of numbers that are not positive, right to 2 units in the last place; 0 below -87, and for NaN.
inline Floats exponential(Floats value) {
  // 2^n e^r, where r is at most half of ln 2; the product of n with the first part of ln 2 is exact.
  constexpr float kRounding = 12582912.0f;  // 1.5 * 2^23: numbers next to it are whole
  const Words is_usable = value >= -87.0f;
  const Floats usable = where(is_usable, value);
  const Floats n = (usable * 1.44269504f + kRounding) - kRounding;
  const Floats r = (usable - n * 0.693359375f) + n * 2.12194440e-4f;
  Floats sum = all_of(1.0f / 5040.0f);
  for (float coefficient : {1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f}) sum = sum * r + coefficient;
  const Floats power = 1.0f + (r + r * r * sum);
  return where(is_usable, floats_of(sum_of_bits(bits_of(power), truncated(n) * (1 << 23))));
}

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_EXPONENTIAL_H_

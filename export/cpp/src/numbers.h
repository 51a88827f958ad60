// Sums, medians and other arithmetic, rounded as numpy rounds them.

#ifndef HWNAS_RUNTIME_SRC_NUMBERS_H_
#define HWNAS_RUNTIME_SRC_NUMBERS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "../scratch.h"

#ifdef __FAST_MATH__
#error "Compile without -ffast-math and -Ofast: sums must be rounded as numpy rounds them, and NaN must stay NaN."
#endif

namespace hwnas::runtime {

// The sum of numbers next to each other as `numpy.sum` adds them: pairwise (Higham, SIAM J. Sci. Comput. 14, 1993),
// with eight running sums in blocks of at most 128.
template <typename T>
T pairwise_sum(const T* values, size_t count) {
  if (count < 8) {
    T sum = count ? values[0] : T{0};
    for (size_t i = 1; i < count; ++i) sum += values[i];
    return sum;
  }
  if (count <= 128) {
    T sums[8];
    std::copy_n(values, 8, sums);
    size_t i = 8;
    for (; i + 8 <= count; i += 8) {
      for (size_t k = 0; k < 8; ++k) sums[k] += values[i + k];
    }
    T sum = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    for (; i < count; ++i) sum += values[i];
    return sum;
  }
  const size_t half = count / 2 - count / 2 % 8;
  return pairwise_sum(values, half) + pairwise_sum(values + half, count - half);
}

// Median of numbers, the mean of the middle two where there are two; 0 of none. Reorders them.
template <typename T>
T median(Vector<T>& values) {
  if (values.empty()) return T{0};
  const size_t half = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(half), values.end());
  const T upper = values[half];
  if (values.size() % 2) return upper;
  const T lower = *std::max_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(half));
  return (lower + upper) / T{2};
}

// `numpy.linspace`: `count` numbers from `first` to `last`, count > 1.
inline Vector<double> linspace(double first, double last, size_t count) {
  Vector<double> numbers(count);
  const double step = (last - first) / static_cast<double>(count - 1);
  for (size_t i = 0; i < count; ++i) numbers[i] = static_cast<double>(i) * step + first;
  numbers.back() = last;
  return numbers;
}

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_NUMBERS_H_

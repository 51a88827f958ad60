#include "columns.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>
#include <vector>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Numbers are read from files as they lie in memory, which needs a little-endian processor."
#endif

namespace hwnas::runtime {
namespace {

constexpr int kFewest = 3, kMost = 10;
constexpr size_t kWindow = 2520;  // a multiple of every plausible number of columns, so that columns stay in step
constexpr size_t kWindows = 4, kFewestPoints = 100;
constexpr double kClearly = 1.5, kClearlyForMultiples = 4.0, kLeastShare = 0.1;

using Feature = std::vector<double>;

std::vector<float> floats_of(std::string_view content) {
  std::vector<float> values(content.size() / 4);
  if (!values.empty()) std::memcpy(values.data(), content.data(), 4 * values.size());
  return values;
}

// Windows of the file, each beginning at a multiple of every plausible number of columns.
std::vector<float> sampled(const std::vector<float>& values) {
  const size_t windows = values.size() / kWindow;
  if (!windows) return values;
  std::vector<float> some;
  for (size_t i = 0; i < std::min(windows, kWindows); ++i) {
    const double place =
        static_cast<double>(i) * (static_cast<double>(windows - 1) / static_cast<double>(kWindows - 1));
    const size_t start = windows <= kWindows ? i : i + 1 == kWindows ? windows - 1 : static_cast<size_t>(place);
    const auto from = values.begin() + static_cast<std::ptrdiff_t>(start * kWindow);
    some.insert(some.end(), from, from + kWindow);
  }
  return some;
}

Feature ranks_of(const std::vector<float>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  Feature ranks(values.size());
  for (size_t k = 0; k < order.size(); ++k)
    ranks[order[k]] = static_cast<double>(k) / static_cast<double>(order.size());
  return ranks;
}

// Functions of the values that distributions of columns differ in.
std::array<Feature, 3> features_of(std::vector<float> values) {
  Feature is_whole;
  for (float& value : values) {
    if (!std::isfinite(value)) value = 0.0f;
    is_whole.push_back(value == std::rint(value));
  }
  Feature ranks = ranks_of(values);
  for (float& value : values) value = std::fabs(value);
  return {std::move(ranks), ranks_of(values), std::move(is_whole)};
}

double variance(const Feature& values) {
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double sum = 0.0;
  for (double value : values) sum += (value - mean) * (value - mean);
  return sum / count;
}

// The share of variance that columns explain, summed over features, less what chance explains.
double share_of(const std::array<Feature, 3>& features, size_t number) {
  const size_t length = features[0].size() / number;
  double share = -3.0 * static_cast<double>(number - 1) / static_cast<double>(std::max<size_t>(length * number, 1));
  for (const Feature& feature : features) {
    Feature used(feature.begin(), feature.begin() + static_cast<std::ptrdiff_t>(length * number)), means(number, 0.0);
    for (size_t i = 0; i < used.size(); ++i) means[i % number] += used[i] / static_cast<double>(length);
    const double total = variance(used);
    if (total > 1e-9) share += variance(means) / total;
  }
  return share;
}

template <typename T>
double usual_share(std::string_view content) {
  const size_t bytes = std::min(content.size(), kWindows * kWindow * 8);
  const size_t count = bytes / sizeof(T);
  size_t usual = 0;
  for (size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, content.data() + i * sizeof(T), sizeof(T));
    const T size = std::fabs(value);
    usual += size == 0 || (size > static_cast<T>(1e-6) && size < static_cast<T>(1e7)) || std::isnan(size);
  }
  return count ? static_cast<double>(usual) / static_cast<double>(count) : 0.0;
}

}  // namespace

int likely_columns(std::string_view content, int stated) {
  const std::vector<float> values = floats_of(content);
  if (values.size() < kFewestPoints * kMost) return 0;
  const std::array<Feature, 3> features = features_of(sampled(values));
  std::array<std::optional<double>, kMost + 1> shares;
  double highest = 0.0;
  for (int number = kFewest; number <= kMost; ++number) {
    if (content.size() % (4 * static_cast<size_t>(number))) continue;
    shares[static_cast<size_t>(number)] = share_of(features, static_cast<size_t>(number));
    highest = std::max(highest, *shares[static_cast<size_t>(number)]);
  }
  if (highest < kLeastShare) return 0;
  int best = 0;
  for (int number = kMost; number >= kFewest; --number) {
    const auto& share = shares[static_cast<size_t>(number)];
    if (share && *share >= 0.9 * highest) best = number;
  }
  const auto at = static_cast<size_t>(stated);
  if (!best || !stated) return best;
  if (best == stated || stated > kMost || !shares[at]) return 0;
  const double needed = best % stated ? kClearly : kClearlyForMultiples;
  return *shares[static_cast<size_t>(best)] > needed * *shares[at] ? best : 0;
}

bool looks_like_float64(std::string_view content) {
  return usual_share<double>(content) > 0.99 && usual_share<float>(content) < 0.9;
}

}  // namespace hwnas::runtime

// Labels of points by a vote of their nearest neighbours in the image; see hwnas.range_view.knn. Part of
// range_view.cpp; include range_view.h instead.

#ifndef HWNAS_NEIGHBOURS_H_
#define HWNAS_NEIGHBOURS_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "lanes.h"
#include "scratch.h"

namespace hwnas {

constexpr uint8_t kNoLabel = 255;

struct KnnSettings {
  const float* weights;  // [window][window]
  int32_t k, window;
  float cutoff_m;
  int32_t num_classes;
};

// Fills both margins of a line from its middle, which runs round the sensor.
template <typename T>
void close_turn(T* line, int32_t width, int32_t margin) {
  for (int32_t column = 0; column < margin; ++column) {
    line[margin - 1 - column] = line[margin + width - 1 - column % width];
    line[margin + width + column] = line[margin + column % width];
  }
}

// For each pixel its label if all that vote in its window have that one and it votes itself, else 255.
class Unanimous {
 public:
  Unanimous(const uint8_t* labels, const uint8_t* valid, int32_t height, int32_t width, const KnnSettings& knn)
      : label(static_cast<size_t>(height) * static_cast<size_t>(width)), width_(width), margin_(knn.window / 2) {
    const size_t size = label.size();
    Room<uint8_t> low(size), high(size);
    // Compilers must see that bytes which are written are none of those that they read, or of the members.
    uint8_t *const lows = low.data(), *const highs = high.data();
    const int32_t last = std::min(knn.num_classes - 1, 255);
    const uint8_t limit = static_cast<uint8_t>(std::max(last, 0)), anybody = last < 0 ? 0 : 255;
    for (size_t i = 0; i < size; ++i) {
      const bool is_class = (valid[i] != 0) & (labels[i] <= limit);
      const uint8_t votes = is_class ? anybody : 0;
      lows[i] = labels[i] | static_cast<uint8_t>(~votes);
      highs[i] = labels[i] & votes;
    }
    const size_t line = static_cast<size_t>(width) + 2 * static_cast<size_t>(margin_);
    Room<uint8_t> lowest(line), highest(line), bottom(width), top(width);
    for (int32_t row = 0; row < height; ++row) {
      const int32_t first = std::max(0, row - margin_), end = std::min(height, row + margin_ + 1);
      over_rows(low, first, end, lowest, [](uint8_t a, uint8_t b) { return std::min(a, b); });
      over_rows(high, first, end, highest, [](uint8_t a, uint8_t b) { return std::max(a, b); });
      over_columns(lowest, bottom, [](uint8_t a, uint8_t b) { return std::min(a, b); });
      over_columns(highest, top, [](uint8_t a, uint8_t b) { return std::max(a, b); });
      const size_t start = static_cast<size_t>(row) * static_cast<size_t>(width);
      find_agreed(lows + start, highs + start, bottom.data(), top.data(), width, label.data() + start);
    }
  }

  Room<uint8_t> label;  // [height][width]

 private:
  template <typename Pick>
  static void merge(uint8_t* target, const uint8_t* source, int32_t width, Pick pick) {
    for (int32_t column = 0; column < width; ++column) target[column] = pick(target[column], source[column]);
  }

  template <typename Pick>
  void over_rows(const Room<uint8_t>& values, int32_t first, int32_t end, Room<uint8_t>& line, Pick pick) const {
    const auto row_of = [&](int32_t row) { return values.data() + static_cast<size_t>(row) * width_; };
    std::copy_n(row_of(first), width_, line.data() + margin_);
    for (int32_t row = first + 1; row < end; ++row) merge(line.data() + margin_, row_of(row), width_, pick);
    close_turn(line.data(), width_, margin_);
  }

  template <typename Pick>
  void over_columns(const Room<uint8_t>& line, Room<uint8_t>& result, Pick pick) const {
    std::copy_n(line.data(), width_, result.data());
    for (int32_t shift = 1; shift <= 2 * margin_; ++shift) merge(result.data(), line.data() + shift, width_, pick);
  }

  static void find_agreed(const uint8_t* low, const uint8_t* high, const uint8_t* bottom, const uint8_t* top,
                          int32_t width, uint8_t* agreed) {
    for (int32_t column = 0; column < width; ++column) {
      // A pixel without a vote is 0 in `high` and 255 in `low`, so that the two differ.
      const int apart = (low[column] ^ high[column]) | (bottom[column] ^ top[column]);
      agreed[column] = apart ? kNoLabel : top[column];
    }
  }

  const int32_t width_, margin_;
};

// What the points look up: an image with a margin, cyclic sideways and empty above and below.
struct Neighbourhood {
  struct Pixel {
    float range_m;
    int32_t label;
  };

  int32_t stride;
  Vector<Pixel> pixels;

  Neighbourhood(const uint8_t* labels, const float* range_m, const uint8_t* valid, int32_t height, int32_t width,
                const KnnSettings& knn)
      : stride(width + knn.window / 2 * 2) {
    const int32_t margin = knn.window / 2, without = static_cast<uint8_t>(knn.num_classes);
    const Pixel empty{std::numeric_limits<float>::infinity(), without};
    pixels.resize(static_cast<size_t>(stride) * static_cast<size_t>(height + 2 * margin), empty);
    for (int32_t row = 0; row < height; ++row) {
      Pixel* line = pixels.data() + static_cast<size_t>(row + margin) * static_cast<size_t>(stride);
      const size_t start = static_cast<size_t>(row) * static_cast<size_t>(width);
      for (int32_t column = 0; column < width; ++column) {
        const size_t from = start + static_cast<size_t>(column);
        const int32_t label = labels[from];
        line[margin + column].range_m = valid[from] ? range_m[from] : empty.range_m;
        line[margin + column].label = valid[from] && label < knn.num_classes ? label : without;
      }
      close_turn(line, width, margin);
    }
  }
};

// The class that the k nearest of a window vote for, for one point. Of equally many votes the first class wins.
class Vote {
 public:
  Vote(const Neighbourhood& image, const KnnSettings& knn)
      : image_(image), knn_(knn), distances_(static_cast<size_t>(knn.window) * static_cast<size_t>(knn.window)),
        near_(distances_.size()), votes_(256) {}

  uint8_t operator()(size_t corner, float range_m) {
    size_t place = 0;
    for (int32_t row = 0; row < knn_.window; ++row) {
      const Neighbourhood::Pixel* pixels = image_.pixels.data() + corner + static_cast<size_t>(row) * image_.stride;
      for (int32_t column = 0; column < knn_.window; ++column, ++place) {
        distances_[place] = std::fabs(pixels[column].range_m - range_m) * knn_.weights[place];
      }
    }
    // The pixel of a point stands for the point itself, also where a nearer point has won it.
    distances_[distances_.size() / 2] = 0.0f;
    return count(corner, limit());
  }

 private:
  // The k-th smallest distance, or the cutoff where fewer lie within it.
  float limit() {
    int32_t within = 0;
    for (float distance : distances_) {
      near_[within] = distance;
      within += distance <= knn_.cutoff_m;
    }
    if (within <= knn_.k) return knn_.cutoff_m;
    std::nth_element(near_.begin(), near_.begin() + (knn_.k - 1), near_.begin() + within);
    return near_[knn_.k - 1];
  }

  uint8_t count(size_t corner, float limit) {
    std::fill_n(votes_.begin(), knn_.num_classes, 0);
    int32_t most = 0;
    size_t place = 0;
    for (int32_t row = 0; row < knn_.window; ++row) {
      const Neighbourhood::Pixel* pixels = image_.pixels.data() + corner + static_cast<size_t>(row) * image_.stride;
      for (int32_t column = 0; column < knn_.window; ++column, ++place) {
        const int32_t label = pixels[column].label;
        if (distances_[place] <= limit && label < knn_.num_classes) most = std::max(most, ++votes_[label]);
      }
    }
    if (!most) return kNoLabel;
    return static_cast<uint8_t>(std::find(votes_.begin(), votes_.end(), most) - votes_.begin());
  }

  const Neighbourhood& image_;
  const KnnSettings knn_;
  Vector<float> distances_, near_;
  Vector<int32_t> votes_;
};

// The same for four points at a time.
//
// Distances and classes are sorted as one: the bits of a distance that is not negative order as it does, and the class
// takes the place of its last eight. Where the k-th and the next distance differ in these alone, or not at all, the
// distances are sorted again, without classes, and all that are not beyond the k-th vote.
class Votes {
 public:
  // Of one more than this, sorting takes more registers than there are.
  static constexpr int32_t kMost = 8;

  static bool can_count(const KnnSettings& knn) {
    const int32_t size = knn.window * knn.window;
    return knn.k >= 1 && knn.k <= kMost && knn.num_classes >= 1 && knn.num_classes <= kOfLabel &&
           knn.cutoff_m >= 0.0f && knn.cutoff_m < kLargest &&
           std::all_of(knn.weights, knn.weights + size, [](float weight) { return weight >= 0.0f; });
  }

  Votes(const Neighbourhood& image, const KnnSettings& knn)
      : image_(image), knn_(knn), centre_(static_cast<ptrdiff_t>(knn.window / 2) * (image.stride + 1)) {
    const int32_t size = knn.window * knn.window;
    for (int32_t place = 0; place < size; ++place) {
      if (place == size / 2) continue;
      offsets_.push_back(static_cast<ptrdiff_t>(place / knn.window) * image.stride + place % knn.window);
      weights_.push_back(knn.weights[place]);
    }
  }

  // Labels of four points, whose windows begin at `corner`.
  void operator()(const size_t (&corner)[kLanes], const float (&range_m)[kLanes], uint8_t (&labels)[kLanes]) const {
    const Windows windows(image_, corner);
    switch (knn_.k) {
      case 1: return count<1>(windows, load(range_m), labels);
      case 2: return count<2>(windows, load(range_m), labels);
      case 3: return count<3>(windows, load(range_m), labels);
      case 4: return count<4>(windows, load(range_m), labels);
      case 5: return count<5>(windows, load(range_m), labels);
      case 6: return count<6>(windows, load(range_m), labels);
      case 7: return count<7>(windows, load(range_m), labels);
      default: return count<8>(windows, load(range_m), labels);
    }
  }

 private:
  static constexpr float kLargest = 8.0e37f;  // below 2^126
  static constexpr int32_t kOfLabel = 255;
  static constexpr int32_t kSmallestNormal = 0x00800000;  // is added, since processors may take smaller ones for zero
  static constexpr int32_t kBeyond = 0x7f7fffff;          // the largest number, for those beyond the cutoff

  // The windows of four points.
  struct Windows {
    const Neighbourhood::Pixel* first[kLanes];

    Windows(const Neighbourhood& image, const size_t (&corner)[kLanes]) {
      for (size_t lane = 0; lane < kLanes; ++lane) first[lane] = image.pixels.data() + corner[lane];
    }
    // Ranges and labels of the pixels at an offset.
    void look_up(ptrdiff_t offset, Floats& range_m, Words& label) const {
      const auto pixel = [&](size_t lane) {
        int64_t both;
        static_assert(sizeof(both) == sizeof(Neighbourhood::Pixel));
        std::memcpy(&both, first[lane] + offset, sizeof(both));
        return both;
      };
      const Pairs low = {pixel(0), pixel(1)}, high = {pixel(2), pixel(3)};
      range_m = floats_of(firsts(low, high));
      label = seconds(low, high);
    }
    Words labels_at(ptrdiff_t offset) const {
      return Words{first[0][offset].label, first[1][offset].label, first[2][offset].label, first[3][offset].label};
    }
  };

  // Keeps the lowest of the sorted ones and of another.
  template <int kCount>
  static void insert(Floats (&lowest)[kCount], Floats value) {
    for (int i = 0; i < kCount; ++i) {
      const Floats larger = higher_of(lowest[i], value);
      lowest[i] = lower_of(lowest[i], value);
      value = larger;
    }
  }

  template <int kCount>
  void count(const Windows& windows, Floats own, uint8_t (&labels)[kLanes]) const {
    const Floats cutoff = all_of(knn_.cutoff_m);
    const Words smallest = all_of(kSmallestNormal);
    Floats lowest[kCount + 1];
    for (Floats& value : lowest) value = floats_of(all_of(kBeyond));
    // The pixel of a point stands for the point itself, also where a nearer point has won it.
    lowest[0] = floats_of(windows.labels_at(centre_) | kSmallestNormal);
    for (size_t i = 0; i < offsets_.size(); ++i) {
      Floats range_m;
      Words label;
      windows.look_up(offsets_[i], range_m, label);
      const Floats distance = size_of(range_m - own) * weights_[i];
      const Words key = (sum_of_bits(bits_of(distance), smallest) & ~kOfLabel) | label;
      // What is beyond the cutoff, or NaN, has no usable key; all keys that count are larger than 0.
      const Words beyond = ~(distance <= cutoff) & kBeyond;
      insert(lowest, higher_of(floats_of(key), floats_of(beyond)));
    }
    elect<kCount>(lowest, labels);
    const Words of_last = bits_of(lowest[kCount - 1]), of_next = bits_of(lowest[kCount]);
    const Words is_open = (((of_last ^ of_next) & ~kOfLabel) == 0) & (of_last < kBeyond);
    if (is_any(is_open)) count_ties<kCount>(windows, own, is_open, labels);
  }

  template <int kCount>
  void elect(const Floats (&lowest)[kCount + 1], uint8_t (&labels)[kLanes]) const {
    Words label[kCount], has_vote[kCount], best{};
    for (int i = 0; i < kCount; ++i) {
      label[i] = bits_of(lowest[i]) & kOfLabel;
      has_vote[i] = (bits_of(lowest[i]) < kBeyond) & (label[i] < knn_.num_classes);
    }
    // The most votes, and of equally many the first class.
    for (int i = 0; i < kCount; ++i) {
      Words votes{};
      for (int other = 0; other < kCount; ++other) votes -= has_vote[other] & (label[other] == label[i]);
      const Words score = has_vote[i] & (votes * 256 + (kOfLabel - label[i]));
      best = chosen(score > best, score, best);
    }
    for (size_t lane = 0; lane < kLanes; ++lane) {
      labels[lane] = static_cast<uint8_t>(kOfLabel - (best[lane] & kOfLabel));
    }
  }

  template <int kCount>
  void count_ties(const Windows& windows, Floats own, Words is_open, uint8_t (&labels)[kLanes]) const {
    Floats lowest[kCount];
    for (Floats& value : lowest) value = floats_of(all_of(kBeyond));
    lowest[0] = Floats{};
    for (size_t i = 0; i < offsets_.size(); ++i) {
      Floats range_m;
      Words label;
      windows.look_up(offsets_[i], range_m, label);
      const Floats distance = size_of(range_m - own) * weights_[i];
      insert(lowest, lower_of(distance, floats_of(all_of(kBeyond))));
    }
    const Floats limit = lower_of(lowest[kCount - 1], all_of(knn_.cutoff_m));
    uint16_t votes[kLanes][256];
    for (auto& of_point : votes) std::fill_n(of_point, knn_.num_classes, uint16_t{0});
    const auto take = [&](Words label, Words is_near) {
      const int voters = sign_bits(is_near & (label < knn_.num_classes));
      for (size_t lane = 0; lane < kLanes; ++lane) votes[lane][label[lane]] += voters >> lane & 1;
    };
    take(windows.labels_at(centre_), is_open);
    for (size_t i = 0; i < offsets_.size(); ++i) {
      Floats range_m;
      Words label;
      windows.look_up(offsets_[i], range_m, label);
      take(label, is_open & (size_of(range_m - own) * weights_[i] <= limit));
    }
    for (size_t lane = 0; lane < kLanes; ++lane) {
      if (!is_open[lane]) continue;
      const uint16_t* most = std::max_element(votes[lane], votes[lane] + knn_.num_classes);
      labels[lane] = *most ? static_cast<uint8_t>(most - votes[lane]) : kNoLabel;
    }
  }

  const Neighbourhood& image_;
  const KnnSettings knn_;
  const ptrdiff_t centre_;
  Vector<ptrdiff_t> offsets_;
  Vector<float> weights_;
};

}  // namespace hwnas

#endif  // HWNAS_NEIGHBOURS_H_

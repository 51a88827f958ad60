// live_threads BUNDLE HEIGHT WIDTH CLASSES: threads give clouds while others change the state and the settings of a
// node, and ask for reports. Every cloud must be counted once. With the sanitizer for threads this shows what they share.

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "hwnas_ros/live_segmentation.hpp"

namespace {

namespace hr = hwnas::ros;
namespace rt = hwnas::runtime;

// A network that needs no runtime; its scores follow from the range of the pixel.
class FakeSession : public rt::Session {
 public:
  FakeSession(int64_t height, int64_t width, int64_t classes)
      : inputs_{{"range_image", {1, 5, height, width}}},
        outputs_{{"logits", {1, classes, height, width}}},
        pixels_(static_cast<size_t>(height * width)),
        classes_(static_cast<size_t>(classes)) {}

  const std::vector<rt::TensorSpec>& inputs() const override { return inputs_; }
  const std::vector<rt::TensorSpec>& outputs() const override { return outputs_; }
  void run(const float* input, float* output) override {
    for (size_t k = 0; k < classes_; ++k) {
      for (size_t i = 0; i < pixels_; ++i) output[k * pixels_ + i] = input[i] * (k % 2 ? -1.0f : 1.0f);
    }
  }

 private:
  const std::vector<rt::TensorSpec> inputs_, outputs_;
  const size_t pixels_, classes_;
};

class Counting : public hr::SegmentationSink {
 public:
  bool wants(hr::Kind) override { return true; }
  void publish(hr::Messages&& messages) override { published += !messages.empty(); }
  void report_error(const std::string&) override { ++complaints; }
  std::atomic<uint64_t> published{0}, complaints{0};
};

hr::CloudView make_cloud(size_t count, bool is_whole) {
  const auto bytes = std::make_shared<std::vector<uint8_t>>(16 * count);
  for (size_t i = 0; i < count; ++i) {
    const auto angle = static_cast<float>(i) * 0.01f;
    const float values[4] = {9.0f * std::cos(angle), 9.0f * std::sin(angle), -1.0f, 0.5f};
    std::memcpy(bytes->data() + 16 * i, values, sizeof(values));
  }
  hr::CloudView cloud;
  cloud.height = 1;
  cloud.width = static_cast<uint32_t>(count);
  cloud.fields = {{"x", 0, hr::kFloat32, 1}, {"y", 4, hr::kFloat32, 1}, {"z", 8, hr::kFloat32, 1},
                  {"intensity", 12, hr::kFloat32, 1}};
  cloud.point_step = 16;
  cloud.row_step = static_cast<uint32_t>(16 * count);
  cloud.data = bytes->data();
  cloud.size_bytes = bytes->size() - (is_whole ? 0 : 1);
  cloud.owner = bytes;
  return cloud;
}

uint64_t ended(const hr::Counts& counts) { return counts.labelled + counts.dropped + counts.refused + counts.failed; }

// The counts once every cloud that was received has come to an end, or after a minute.
hr::Counts settled(hr::LiveSegmentation& live) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  hr::Counts counts = live.report().counts;
  while (counts.received != ended(counts) && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    counts = live.report().counts;
  }
  return counts;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const std::string bundle = argv[1];
  const auto open = [&](const hr::NodeSettings& settings) {
    rt::Options options;
    options.open_session = [&](const std::string&) {
      return std::make_unique<FakeSession>(std::stol(argv[2]), std::stol(argv[3]), std::stol(argv[4]));
    };
    return std::make_shared<rt::Runner>(settings.bundle(), options);
  };
  Counting sink;
  hr::LiveSegmentation live(sink, open);
  const hr::NodeSettings settings({{"bundle", bundle}, {"remove_classes", std::vector<std::string>{}}});
  live.configure(settings);
  live.activate();
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      for (int k = 0; k < 60; ++k) live.receive(make_cloud(60, (k + i) % 7 != 0));
    });
  }
  threads.emplace_back([&] {
    for (int k = 0; k < 15; ++k) {
      live.configure(settings, k % 3 == 0);
      live.deactivate();
      live.activate();
    }
  });
  threads.emplace_back([&] {
    for (int k = 0; k < 60; ++k) live.report().status_since({});
  });
  for (std::thread& thread : threads) thread.join();
  // What the threads gave may have come while the node was inactive: one cloud of each kind settles what is counted.
  hr::Counts counts = settled(live);
  for (const bool is_whole : {false, true}) {
    live.receive(make_cloud(60, is_whole));
    counts = settled(live);
  }
  std::printf("received %lu labelled %lu dropped %lu refused %lu failed %lu\n", counts.received, counts.labelled,
              counts.dropped, counts.refused, counts.failed);
  const bool is_counted = counts.received == ended(counts);
  const bool is_told = sink.published == counts.labelled && sink.complaints == counts.refused + counts.failed;
  return is_counted && is_told && counts.labelled && counts.refused && !counts.failed ? 0 : 1;
}

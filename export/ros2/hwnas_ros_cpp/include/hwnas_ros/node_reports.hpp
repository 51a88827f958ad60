// What a node says of itself: counts, latency by step, and whether all is well; see hwnas.robotics.node_reports.

#ifndef HWNAS_ROS_NODE_REPORTS_HPP_
#define HWNAS_ROS_NODE_REPORTS_HPP_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hwnas::ros {

/// What is clocked of a scan: arrays from the message, waiting for the scan before, range image, network, labels of
/// points, messages made and sent; and all together, from its arrival to its publication.
enum Step : size_t { kDecode, kWait, kPreprocess, kNetwork, kPostprocess, kPublish, kTotal, kNumSteps };
constexpr std::array<const char*, kNumSteps> kStepNames = {"decode",      "wait",    "preprocess", "network",
                                                           "postprocess", "publish", "total"};
/// Milliseconds of each.
using Times = std::array<double, kNumSteps>;

/// How well a node does, as `diagnostic_msgs/DiagnosticStatus` numbers it.
enum class Level : uint8_t { kOk = 0, kWarn = 1, kError = 2 };

/// What came of scans since the node was configured.
struct Counts {
  uint64_t received = 0;  ///< messages that arrived while the node was active
  uint64_t labelled = 0;  ///< published
  uint64_t dropped = 0;   ///< not labelled, because a newer one had arrived or the node was deactivated
  uint64_t refused = 0;   ///< malformed messages, and scans that the bundle does not take
  uint64_t failed = 0;    ///< whose labels could not be computed or published
  uint64_t lost = 0;      ///< messages that never arrived; not among those received

  Counts since(const Counts& before) const;
};

/// Median and 99th percentile of a step, milliseconds.
struct StepLatency {
  double median_ms, p99_ms;
};

/// Times of the steps of the last scans.
class LatencyWindow {
 public:
  void add(const Times& times_ms);
  /// Of each step; nothing without a scan.
  std::optional<std::array<StepLatency, kNumSteps>> latency() const;

 private:
  static constexpr size_t kWindow = 1000;  // the last 100 s at 10 Hz
  std::array<std::vector<double>, kNumSteps> times_ms_;
  size_t next_ = 0;
};

using NamedTexts = std::vector<std::pair<std::string, std::string>>;

/// A node at one moment.
struct NodeReport {
  bool is_configured = false;
  bool is_active = false;
  Counts counts;
  std::optional<std::array<StepLatency, kNumSteps>> latency;
  NamedTexts network;  ///< what labels: bundle, architecture, precision, backend
  std::string last_refusal, last_failure, last_warning;
  std::string problem;  ///< why the last bundle or parameter could not be taken; empty once one could

  const char* state() const;
  /// Everything as texts by name, as diagnostics hold it.
  NamedTexts values() const;
  /// How well the node did since earlier counts, and why.
  std::pair<Level, std::string> status_since(const Counts& before) const;

 private:
  std::optional<std::pair<Level, std::string>> complaint(const Counts& since) const;
};

}  // namespace hwnas::ros

#endif  // HWNAS_ROS_NODE_REPORTS_HPP_

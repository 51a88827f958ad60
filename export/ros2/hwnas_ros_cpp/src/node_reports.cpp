#include "hwnas_ros/node_reports.hpp"

#include <algorithm>
#include <cmath>

#include "hwnas_runtime/words.hpp"

namespace hwnas::ros {
namespace {

using runtime::counted;
using runtime::format;

constexpr size_t kMostCharacters = 500;

// Of sorted numbers, between two of them as numpy does it.
double percentile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(place);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (place - static_cast<double>(low));
}

NamedTexts in_words(const Counts& counts) {
  NamedTexts texts;
  const std::pair<const char*, uint64_t> all[] = {{"received", counts.received}, {"labelled", counts.labelled},
                                                  {"dropped", counts.dropped},   {"refused", counts.refused},
                                                  {"failed", counts.failed},     {"lost", counts.lost}};
  for (const auto& one : all) texts.emplace_back(std::string("scans ") + one.first, std::to_string(one.second));
  return texts;
}

}  // namespace

Counts Counts::since(const Counts& before) const {
  return {received - before.received, labelled - before.labelled, dropped - before.dropped,
          refused - before.refused,   failed - before.failed,     lost - before.lost};
}

void LatencyWindow::add(const Times& times_ms) {
  for (size_t step = 0; step < kNumSteps; ++step) {
    std::vector<double>& kept = times_ms_[step];
    if (kept.size() < kWindow) {
      kept.push_back(times_ms[step]);
    } else {
      kept[next_] = times_ms[step];
    }
  }
  if (times_ms_[0].size() == kWindow) next_ = (next_ + 1) % kWindow;
}

std::optional<std::array<StepLatency, kNumSteps>> LatencyWindow::latency() const {
  if (times_ms_[0].empty()) return std::nullopt;
  std::array<StepLatency, kNumSteps> found{};
  for (size_t step = 0; step < kNumSteps; ++step) {
    std::vector<double> sorted = times_ms_[step];
    std::sort(sorted.begin(), sorted.end());
    found[step] = {percentile(sorted, 0.5), percentile(sorted, 0.99)};
  }
  return found;
}

const char* NodeReport::state() const { return is_active ? "active" : is_configured ? "inactive" : "unconfigured"; }

NamedTexts NodeReport::values() const {
  NamedTexts all = {{"state", state()}};
  all.insert(all.end(), network.begin(), network.end());
  const NamedTexts counted_scans = in_words(counts);
  all.insert(all.end(), counted_scans.begin(), counted_scans.end());
  for (size_t step = 0; latency && step < kNumSteps; ++step) {
    all.emplace_back(std::string(kStepNames[step]) + " median ms", format("%.2f", (*latency)[step].median_ms));
    all.emplace_back(std::string(kStepNames[step]) + " p99 ms", format("%.2f", (*latency)[step].p99_ms));
  }
  all.emplace_back("last refusal", last_refusal);
  all.emplace_back("last failure", last_failure);
  all.emplace_back("last warning", last_warning);
  all.emplace_back("problem", problem);
  NamedTexts found;
  for (const auto& [name, text] : all) {
    if (!text.empty()) found.emplace_back(name, runtime::shortened(runtime::visible(text), kMostCharacters));
  }
  return found;
}

std::pair<Level, std::string> NodeReport::status_since(const Counts& before) const {
  if (!is_configured) {
    if (!problem.empty()) return {Level::kError, problem};
    return {Level::kWarn, "not configured: no bundle is open"};
  }
  if (!is_active) return {Level::kOk, "configured, not active"};
  const Counts since = counts.since(before);
  if (auto found = complaint(since)) return *found;
  return {Level::kOk, counted(since.labelled, "scan") + " labelled" +
                          (latency ? format(", %.0f ms from arrival on", (*latency)[kTotal].median_ms) : "")};
}

// What is wrong, the worst first.
std::optional<std::pair<Level, std::string>> NodeReport::complaint(const Counts& since) const {
  const Level none = since.labelled ? Level::kWarn : Level::kError;
  if (since.failed) return {{none, counted(since.failed, "scan") + " failed: " + last_failure}};
  if (since.refused) return {{none, counted(since.refused, "scan") + " refused: " + last_refusal}};
  if (!problem.empty()) return {{Level::kWarn, "goes on as before: " + problem}};
  if (since.dropped || since.lost) {
    return {{Level::kWarn,
             std::to_string(since.dropped) + " of " + counted(since.received, "scan") +
                 " dropped for newer ones: they arrive faster than they are labelled" +
                 (latency ? format(", which takes %.0f ms", (*latency)[kTotal].median_ms) : "") +
                 (since.lost ? "; " + std::to_string(since.lost) + " never arrived" : "")}};
  }
  if (since.labelled) return std::nullopt;
  return {{Level::kWarn, since.received ? "no scan done yet" : "no scan labelled: none arrived"}};
}

}  // namespace hwnas::ros

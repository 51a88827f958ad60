#include "hwnas_ros/live_segmentation.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "hwnas_ros/cloud_making.hpp"
#include "hwnas_ros/cloud_points.hpp"
#include "hwnas_runtime/words.hpp"
#include "refusing.hpp"

namespace hwnas::ros {
namespace {

using runtime::Error;
using runtime::ErrorKind;

// As data sets call what is read of clouds: a bundle that was trained on bags states options of it.
constexpr const char* kFormat = "rosbag";

using Clock = std::chrono::steady_clock;

double elapsed_ms(Clock::time_point& since) {
  const Clock::time_point now = Clock::now();
  return std::chrono::duration<double, std::milli>(now - std::exchange(since, now)).count();
}

// What scans are labelled with; one that is being labelled keeps what it was begun with.
struct Work {
  Work(NodeSettings given, std::shared_ptr<runtime::Runner> opened)
      : settings(std::move(given)), runner(std::move(opened)), clouds(*runner, kFormat) {
    const std::vector<std::string>& known = runner->class_names();
    for (const std::string& name : settings.remove_classes()) {
      const auto found = std::find(known.begin(), known.end(), name);
      if (found == known.end()) {
        throw Error(ErrorKind::kArgument, "The bundle has no class " + runtime::shown(name) + "; its classes are " +
                                              runtime::list_repr(known) + "." + runtime::did_you_mean(name, known));
      }
      is_removed[static_cast<size_t>(found - known.begin())] = true;
    }
    wanted = {false, settings.visualization(), !settings.remove_classes().empty()};
  }

  NamedTexts network() const {
    return {{"bundle", settings.bundle()},
            {"architecture", runner->architecture_id()},
            {"precision", settings.precision()},
            {"backend", settings.backend()}};
  }

  const NodeSettings settings;
  const std::shared_ptr<runtime::Runner> runner;
  const runtime::StoredClouds clouds;
  std::array<bool, 256> is_removed{};
  std::array<bool, kKinds.size()> wanted{};  // messages that are made if somebody listens, beside the segmentation
};

// A scan that has arrived, and with what it was read: where its axes point depends on the bundle.
struct Waiting {
  CloudView cloud;
  CloudPoints points;
  runtime::StoredScan scan;
  std::shared_ptr<const Work> work;
  Times times_ms{};
  Clock::time_point since = Clock::now();
};

void read(Waiting& waiting) {
  check(waiting.cloud);
  read_points(waiting.cloud, waiting.work->settings.fields(waiting.work->clouds), waiting.points);
  CloudPoints& points = waiting.points;
  waiting.scan.intensity = std::move(points.intensity);
  waiting.scan.ring = std::move(points.ring);
  waiting.scan.time = std::move(points.time_s);
  const size_t height = waiting.cloud.height, width = waiting.cloud.width;
  if (points.is_wide) {
    waiting.work->clouds.to_sensor_frame(points.wide.data(), height, width, waiting.scan);
  } else {
    waiting.work->clouds.to_sensor_frame(points.points.data(), height, width, waiting.scan);
  }
}

Messages messages_of(const Waiting& waiting, const runtime::Result& result, SegmentationSink& sink) {
  const Work& work = *waiting.work;
  const auto wants = [&](Kind kind) { return work.wanted[static_cast<size_t>(kind)] && sink.wants(kind); };
  const std::vector<float>& points = waiting.points.points;
  Messages made;
  made.emplace(Kind::kSegmentation, segmented_cloud(waiting.cloud, points, result.labels, result.scores));
  if (wants(Kind::kVisualization)) {
    made.emplace(Kind::kVisualization,
                 coloured_cloud(waiting.cloud, points, result.labels, work.runner->class_colors()));
  }
  if (wants(Kind::kFiltered)) {
    made.emplace(Kind::kFiltered, filtered_cloud(waiting.cloud, result.labels, work.is_removed));
  }
  return made;
}

}  // namespace

const char* name_of(Kind kind) {
  constexpr std::array<const char*, kKinds.size()> kNames = {"segmentation", "visualization", "filtered"};
  return kNames[static_cast<size_t>(kind)];
}

std::string output_topic(const std::string& points, Kind kind) {
  const size_t end = points.find_last_not_of('/');
  return points.substr(0, end == std::string::npos ? 0 : end + 1) + "/" + name_of(kind);
}

std::shared_ptr<runtime::Runner> open_runner(const NodeSettings& settings) {
  runtime::Options options;
  options.precision = settings.precision();
  options.backend = settings.backend();
  options.trust = settings.trust();
  options.onnxruntime.threads = settings.threads();
  return std::make_shared<runtime::Runner>(settings.bundle(), options);
}

struct LiveSegmentation::Parts {
  Parts(SegmentationSink& given, OpenRunner open) : sink(given), opener(std::move(open)) {}

  SegmentationSink& sink;
  const OpenRunner opener;
  std::mutex changing;  // one change of configuration or state at a time

  mutable std::mutex turn;  // guards what is below
  std::condition_variable changed;
  std::shared_ptr<const Work> work;
  std::unique_ptr<Waiting> waiting;
  bool is_active = false;
  Counts counts;
  LatencyWindow window;
  std::string last_refusal, last_failure, last_warning, problem;

  std::thread thread;  // which `changing` guards

  void drop_waiting() {
    if (waiting) ++counts.dropped;
    waiting.reset();
  }

  void stop() {
    {
      const std::lock_guard<std::mutex> lock(turn);
      is_active = false;
      drop_waiting();
    }
    changed.notify_all();
    if (thread.joinable()) thread.join();
  }

  void refuse(const std::string& text) {
    {
      const std::lock_guard<std::mutex> lock(turn);
      ++counts.refused;
      last_refusal = text;
    }
    sink.report_error("Scan refused: " + text);
  }

  void fail(const std::string& text) {
    {
      const std::lock_guard<std::mutex> lock(turn);
      ++counts.failed;
      last_failure = text;
    }
    sink.report_error("Scan failed: " + text);
  }

  // Runs a function; a scan whose data it refuses, or with which it fails, is counted. Whatever it throws, the next
  // scan is labelled.
  template <typename Function>
  bool attempt(Function function) {
    try {
      function();
      return true;
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kData) {
        refuse(error.what());
      } else {
        fail(error.what());
      }
    } catch (const std::bad_alloc&) {
      fail("There is not enough memory.");
    } catch (const std::exception& error) {
      fail(error.what());
    }
    return false;
  }

  void label_what_arrives() {
    runtime::Result result;
    while (true) {
      std::unique_ptr<Waiting> next;
      {
        std::unique_lock<std::mutex> lock(turn);
        changed.wait(lock, [this] { return waiting || !is_active; });
        if (!is_active) return;
        next = std::move(waiting);
      }
      attempt([&] { use(*next, result); });
    }
  }

  void use(Waiting& next, runtime::Result& result) {
    next.times_ms[kWait] = elapsed_ms(next.since);
    runtime::StepTimes taken;
    next.work->runner->label(next.scan.view(), result, true, &taken);
    next.times_ms[kPreprocess] = taken.project_ms + taken.check_ms;
    next.times_ms[kNetwork] = taken.network_ms;
    next.times_ms[kPostprocess] = taken.label_ms + taken.score_ms;
    next.since = Clock::now();
    sink.publish(messages_of(next, result, sink));
    next.times_ms[kPublish] = elapsed_ms(next.since);
    for (size_t step = 0; step < kTotal; ++step) next.times_ms[kTotal] += next.times_ms[step];
    const std::lock_guard<std::mutex> lock(turn);
    ++counts.labelled;
    window.add(next.times_ms);
    last_warning = runtime::joined(result.warnings, " ");
  }
};

LiveSegmentation::LiveSegmentation(SegmentationSink& sink, OpenRunner opener)
    : parts_(std::make_unique<Parts>(sink, std::move(opener))) {}

LiveSegmentation::~LiveSegmentation() {
  const std::lock_guard<std::mutex> changing(parts_->changing);
  parts_->stop();
}

void LiveSegmentation::configure(const NodeSettings& settings, bool opens) {
  const std::lock_guard<std::mutex> changing(parts_->changing);
  std::shared_ptr<const Work> before;
  {
    const std::lock_guard<std::mutex> lock(parts_->turn);
    before = parts_->work;
  }
  opens = opens || !before;
  std::shared_ptr<const Work> work;
  try {
    work = std::make_shared<const Work>(settings, opens ? parts_->opener(settings) : before->runner);
    if (opens) work->runner->warm_up();
  } catch (const Error& error) {
    note_problem(error.what());
    throw;
  }
  const std::lock_guard<std::mutex> lock(parts_->turn);
  parts_->work = std::move(work);
  parts_->problem.clear();
  if (opens) parts_->window = LatencyWindow();
}

void LiveSegmentation::activate() {
  const std::lock_guard<std::mutex> changing(parts_->changing);
  const std::lock_guard<std::mutex> lock(parts_->turn);
  if (!parts_->work) {
    throw Error(ErrorKind::kArgument, "No bundle is open: configure the node before it is activated.");
  }
  if (parts_->is_active) return;
  // It waits for the lock that is held here.
  parts_->thread = std::thread([parts = parts_.get()] { parts->label_what_arrives(); });
  parts_->is_active = true;
}

void LiveSegmentation::deactivate() {
  const std::lock_guard<std::mutex> changing(parts_->changing);
  parts_->stop();
}

void LiveSegmentation::cleanup() {
  const std::lock_guard<std::mutex> changing(parts_->changing);
  parts_->stop();
  const std::lock_guard<std::mutex> lock(parts_->turn);
  parts_->work.reset();
  parts_->counts = Counts();
  parts_->window = LatencyWindow();
  for (std::string* text :
       {&parts_->last_refusal, &parts_->last_failure, &parts_->last_warning, &parts_->problem}) {
    text->clear();
  }
}

void LiveSegmentation::receive(const CloudView& cloud) {
  auto arrived = std::make_unique<Waiting>();
  {
    const std::lock_guard<std::mutex> lock(parts_->turn);
    if (!parts_->work || !parts_->is_active) return;
    arrived->work = parts_->work;
    ++parts_->counts.received;
  }
  const bool is_read = parts_->attempt([&] {
    arrived->cloud = cloud;
    read(*arrived);
  });
  if (!is_read) return;
  arrived->times_ms[kDecode] = elapsed_ms(arrived->since);
  {
    const std::lock_guard<std::mutex> lock(parts_->turn);
    if (!parts_->is_active) {  // deactivated in the meantime
      ++parts_->counts.dropped;
      return;
    }
    parts_->drop_waiting();
    parts_->waiting = std::move(arrived);
  }
  parts_->changed.notify_all();
}

void LiveSegmentation::lose(uint64_t count) {
  const std::lock_guard<std::mutex> lock(parts_->turn);
  if (parts_->is_active) parts_->counts.lost += count;
}

void LiveSegmentation::note_problem(const std::string& text) {
  const std::lock_guard<std::mutex> lock(parts_->turn);
  parts_->problem = text;
}

NodeReport LiveSegmentation::report() const {
  const std::lock_guard<std::mutex> lock(parts_->turn);
  NodeReport found;
  found.is_configured = parts_->work != nullptr;
  found.is_active = parts_->is_active;
  found.counts = parts_->counts;
  found.latency = parts_->window.latency();
  if (parts_->work) found.network = parts_->work->network();
  found.last_refusal = parts_->last_refusal;
  found.last_failure = parts_->last_failure;
  found.last_warning = parts_->last_warning;
  found.problem = parts_->problem;
  return found;
}

}  // namespace hwnas::ros

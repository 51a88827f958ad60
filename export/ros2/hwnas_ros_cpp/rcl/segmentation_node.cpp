// hwnas_segmentation_node: a node of ROS 2 that labels clouds with a bundle, on the C interface of ROS (rcl).
//
// It labels from its beginning to its end. Parameters count when it begins: what changes them while it runs, and
// the states of lifecycle nodes, are those of the component and of the Python node.

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>
#include <string>

#include <rcutils/logging_macros.h>
#include <rosidl_typesupport_cpp/message_type_support.hpp>

#include "../ros/messages.hpp"
#include "arguments.hpp"
#include "handles.hpp"
#include "hwnas_ros/live_segmentation.hpp"
#include "hwnas_ros/message_losses.hpp"
#include "hwnas_runtime/words.hpp"

namespace {

using namespace hwnas::ros;
using Cloud = sensor_msgs::msg::PointCloud2;
using Diagnostics = diagnostic_msgs::msg::DiagnosticArray;
using Clock = std::chrono::steady_clock;

constexpr const char* kName = "hwnas_segmentation";
constexpr const char* kInput = "points";
// Read by subscribers of either reliability; what a slow one has not fetched gives way to what is newer.
constexpr size_t kOutputDepth = 2, kDiagnosticsDepth = 10;
constexpr std::chrono::milliseconds kDiagnosticsPeriod(1000);
constexpr int64_t kWaitNs = 100 * 1000 * 1000;

volatile std::sig_atomic_t is_ended = 0;

void end(int) { is_ended = 1; }

template <typename Message>
const rosidl_message_type_support_t* type_of() {
  return rosidl_typesupport_cpp::get_message_type_support_handle<Message>();
}

class SegmentationNode : public SegmentationSink {
 public:
  SegmentationNode(Context& context, Node& node, const Parameters& parameters, const NodeSettings& settings)
      : name_(rcl_node_get_fully_qualified_name(&node.node)),
        logger_(rcl_node_get_logger_name(&node.node)),
        input_(node, type_of<Cloud>(), kInput, input_qos(parameters, resolved(node))),
        outputs_{publisher(node, Kind::kSegmentation), publisher(node, Kind::kVisualization),
                 publisher(node, Kind::kFiltered)},
        diagnostics_(node, type_of<Diagnostics>(), "/diagnostics", kDiagnosticsDepth),
        wait_set_(context, input_),
        live_(*this) {
    live_.configure(settings);
    for (const auto& [what, text] : live_.report().network) {
      RCUTILS_LOG_INFO_NAMED(logger_.c_str(), "%s: %s", what.c_str(), text.c_str());
    }
  }

  // Labels what arrives until the process is ended.
  void run() {
    live_.activate();
    RCUTILS_LOG_INFO_NAMED(logger_.c_str(), "Labels what arrives on %s, and publishes %s, %s, %s",
                           input_.topic().c_str(), outputs_[0]->topic().c_str(), outputs_[1]->topic().c_str(),
                           outputs_[2]->topic().c_str());
    Clock::time_point next = Clock::now() + kDiagnosticsPeriod;
    while (!is_ended) {
      wait_set_.wait(kWaitNs);
      take_losses();
      take_clouds();
      if (Clock::now() < next) continue;
      diagnose();
      next = std::max(next + kDiagnosticsPeriod, Clock::now());
    }
    live_.deactivate();
  }

  bool wants(Kind kind) override { return output(kind).has_subscribers(); }

  void publish(Messages&& messages) override {
    for (auto& [kind, cloud] : messages) output(kind).publish(message_of(std::move(cloud)).get());
  }

  void report_error(const std::string& text) override {
    {
      const std::lock_guard<std::mutex> lock(complaining_);
      const Clock::time_point now = Clock::now();
      if (has_complained_ && now - complained_ < std::chrono::duration<double>(kComplaintPeriodS)) return;
      has_complained_ = true;
      complained_ = now;
    }
    RCUTILS_LOG_WARN_NAMED(logger_.c_str(), "%s", hwnas::runtime::visible(text).c_str());
  }

 private:
  static std::string resolved(Node& node) {
    char* name = nullptr;
    check_ros(rcl_node_resolve_name(&node.node, kInput, rcl_get_default_allocator(), false, false, &name),
              "The topic cannot be named");
    const std::string found = name;
    rcl_get_default_allocator().deallocate(name, nullptr);
    return found;
  }

  std::unique_ptr<Publisher> publisher(Node& node, Kind kind) const {
    return std::make_unique<Publisher>(node, type_of<Cloud>(), output_topic(input_.topic(), kind), kOutputDepth);
  }

  Publisher& output(Kind kind) { return *outputs_[static_cast<size_t>(kind)]; }

  void take_losses() {
    if (!input_.has_lost_event) return;
    rmw_message_lost_status_t status = {};
    if (rcl_take_event(&input_.lost_event, &status) == RCL_RET_OK) {
      live_.lose(losses_.reported(status.total_count_change));
    } else {
      rcl_reset_error();  // nothing was lost
    }
  }

  void take_clouds() {
    while (!is_ended) {
      auto message = std::make_shared<Cloud>();
      rmw_message_info_t about = rmw_get_zero_initialized_message_info();
      const rcl_ret_t status = rcl_take(&input_.subscription, message.get(), &about, nullptr);
      if (status != RCL_RET_OK) {
        // There is no other; or one is no message at all, which is not to end the node.
        if (status != RCL_RET_SUBSCRIPTION_TAKE_FAILED) report_error("Not received: " + last_ros_error());
        rcl_reset_error();
        return;
      }
      const auto* gid = reinterpret_cast<const char*>(about.publisher_gid.data);
      const uint64_t number = about.publication_sequence_number;
      const bool is_numbered = number != RMW_MESSAGE_INFO_SEQUENCE_NUMBER_UNSUPPORTED;
      live_.lose(losses_.arrived(std::string(gid, RMW_GID_STORAGE_SIZE), is_numbered ? number : 0));
      live_.receive(view_of(std::move(message)));
    }
  }

  void diagnose() {
    const NodeReport report = live_.report();
    Diagnostics message = diagnostics_of(name_, report, reported_);
    reported_ = report.counts;
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now);
    message.header.stamp.sec = static_cast<int32_t>(seconds.count());
    message.header.stamp.nanosec =
        static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now - seconds).count());
    diagnostics_.publish(&message);
  }

  const std::string name_, logger_;
  Subscription input_;
  const std::array<std::unique_ptr<Publisher>, kKinds.size()> outputs_;
  Publisher diagnostics_;
  WaitSet wait_set_;
  MessageLosses losses_;
  Counts reported_;
  std::mutex complaining_;
  Clock::time_point complained_;
  bool has_complained_ = false;
  LiveSegmentation live_;  // ends first: it publishes
};

int run(int argc, char** argv) {
  Context context(argc, argv);
  const std::vector<std::string> arguments = own_arguments(context, argc, argv);
  for (const std::string& argument : arguments) {
    if (argument == "--help" || argument == "-h") {
      std::fputs(usage().c_str(), stdout);
      return 0;
    }
    if (argument == "--version") {
      std::printf("hwnas_segmentation_node %s\n", hwnas::runtime::version());
      return 0;
    }
  }
  Node node(kName, context);
  Parameters parameters = parameters_of_ros(context, rcl_node_get_fully_qualified_name(&node.node));
  Parameters given = parameters_of_options(arguments);
  for (const NodeParameter& parameter : node_parameters()) {
    const auto found = parameters.find(parameter.name);
    if (found != parameters.end()) given.emplace(parameter.name, found->second);  // options go first
  }
  const NodeSettings settings(given);
  std::signal(SIGINT, end);
  std::signal(SIGTERM, end);
  SegmentationNode(context, node, parameters, settings).run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const hwnas::runtime::Error& error) {
    std::fprintf(stderr, "The node cannot begin: %s\n", hwnas::runtime::visible(error.what()).c_str());
    return static_cast<int>(error.kind());
  } catch (const RosError& error) {
    std::fprintf(stderr, "The node has ended: %s\n", hwnas::runtime::visible(error.what()).c_str());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "The node has ended: %s\n", error.what());
    return 1;
  }
}

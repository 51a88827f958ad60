// Handles of the C interface of ROS, which end themselves.

#ifndef HWNAS_ROS_RCL_HANDLES_HPP_
#define HWNAS_ROS_RCL_HANDLES_HPP_

#include <stdexcept>
#include <string>

#include <rcl/error_handling.h>
#include <rcl/event.h>
#include <rcl/logging.h>
#include <rcl/rcl.h>

namespace hwnas::ros {

/// That ROS refuses something, in its own words.
class RosError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What ROS says of the call that failed last; it is then forgotten.
inline std::string last_ros_error() {
  const std::string text = rcl_error_is_set() ? rcl_get_error_string().str : "it does not say why";
  rcl_reset_error();
  return text;
}

inline void check_ros(rcl_ret_t status, const char* what) {
  if (status != RCL_RET_OK) throw RosError(std::string(what) + ": " + last_ros_error());
}

/// The process as a participant, with its arguments.
class Context {
 public:
  Context(int argc, char** argv) {
    rcl_init_options_t options = rcl_get_zero_initialized_init_options();
    check_ros(rcl_init_options_init(&options, allocator), "ROS cannot begin");
    const rcl_ret_t status = rcl_init(argc, argv, &options, &context);
    const std::string said = status == RCL_RET_OK ? "" : last_ros_error();
    if (rcl_init_options_fini(&options) != RCL_RET_OK) rcl_reset_error();
    if (status != RCL_RET_OK) throw RosError(said);
    if (rcl_logging_configure(&context.global_arguments, &allocator) != RCL_RET_OK) rcl_reset_error();
  }
  ~Context() {
    if (rcl_shutdown(&context) != RCL_RET_OK || rcl_context_fini(&context) != RCL_RET_OK ||
        rcl_logging_fini() != RCL_RET_OK) {
      rcl_reset_error();
    }
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  rcl_allocator_t allocator = rcl_get_default_allocator();
  rcl_context_t context = rcl_get_zero_initialized_context();
};

class Node {
 public:
  Node(const char* name, Context& context) {
    const rcl_node_options_t options = rcl_node_get_default_options();
    check_ros(rcl_node_init(&node, name, "", &context.context, &options), "The node cannot begin");
  }
  ~Node() {
    if (rcl_node_fini(&node) != RCL_RET_OK) rcl_reset_error();
  }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  rcl_node_t node = rcl_get_zero_initialized_node();
};

class Publisher {
 public:
  Publisher(Node& node, const rosidl_message_type_support_t* type, const std::string& topic, size_t depth)
      : node_(&node.node) {
    rcl_publisher_options_t options = rcl_publisher_get_default_options();
    options.qos.depth = depth;  // reliable, volatile
    check_ros(rcl_publisher_init(&publisher_, node_, type, topic.c_str(), &options), "A topic cannot be published");
  }
  ~Publisher() {
    if (rcl_publisher_fini(&publisher_, node_) != RCL_RET_OK) rcl_reset_error();
  }
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  void publish(const void* message) { check_ros(rcl_publish(&publisher_, message, nullptr), "Not published"); }
  bool has_subscribers() const {
    size_t count = 0;
    check_ros(rcl_publisher_get_subscription_count(&publisher_, &count), "Subscribers are not known");
    return count > 0;
  }
  std::string topic() const { return rcl_publisher_get_topic_name(&publisher_); }

 private:
  rcl_node_t* const node_;
  rcl_publisher_t publisher_ = rcl_get_zero_initialized_publisher();
};

class Subscription {
 public:
  Subscription(Node& node, const rosidl_message_type_support_t* type, const char* topic, const rmw_qos_profile_t& qos)
      : node_(&node.node) {
    rcl_subscription_options_t options = rcl_subscription_get_default_options();
    options.qos = qos;
    check_ros(rcl_subscription_init(&subscription, node_, type, topic, &options), "A topic cannot be subscribed");
    has_lost_event =
        rcl_subscription_event_init(&lost_event, &subscription, RCL_SUBSCRIPTION_MESSAGE_LOST) == RCL_RET_OK;
    if (!has_lost_event) rcl_reset_error();  // this middleware does not tell
  }
  ~Subscription() {
    if (has_lost_event && rcl_event_fini(&lost_event) != RCL_RET_OK) rcl_reset_error();
    if (rcl_subscription_fini(&subscription, node_) != RCL_RET_OK) rcl_reset_error();
  }
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

  std::string topic() const { return rcl_subscription_get_topic_name(&subscription); }

  rcl_subscription_t subscription = rcl_get_zero_initialized_subscription();
  rcl_event_t lost_event = rcl_get_zero_initialized_event();
  bool has_lost_event = false;

 private:
  rcl_node_t* const node_;
};

/// Waits for messages of one subscription.
class WaitSet {
 public:
  WaitSet(Context& context, const Subscription& subscription) : subscription_(subscription) {
    check_ros(rcl_wait_set_init(&wait_set_, 1, 0, 0, 0, 0, subscription.has_lost_event ? 1 : 0, &context.context,
                                context.allocator),
              "Nothing can be waited for");
  }
  ~WaitSet() {
    if (rcl_wait_set_fini(&wait_set_) != RCL_RET_OK) rcl_reset_error();
  }
  WaitSet(const WaitSet&) = delete;
  WaitSet& operator=(const WaitSet&) = delete;

  /// Waits until something arrives, or so long.
  void wait(int64_t most_ns) {
    check_ros(rcl_wait_set_clear(&wait_set_), "Nothing can be waited for");
    check_ros(rcl_wait_set_add_subscription(&wait_set_, &subscription_.subscription, nullptr),
              "Nothing can be waited for");
    if (subscription_.has_lost_event) {
      check_ros(rcl_wait_set_add_event(&wait_set_, &subscription_.lost_event, nullptr), "Nothing can be waited for");
    }
    const rcl_ret_t status = rcl_wait(&wait_set_, most_ns);
    if (status != RCL_RET_TIMEOUT) check_ros(status, "Nothing can be waited for");
  }

 private:
  const Subscription& subscription_;
  rcl_wait_set_t wait_set_ = rcl_get_zero_initialized_wait_set();
};

}  // namespace hwnas::ros

#endif  // HWNAS_ROS_RCL_HANDLES_HPP_

#include "segmentation_component.hpp"

#include <chrono>
#include <exception>
#include <map>
#include <utility>

#include <rclcpp_components/register_node_macro.hpp>

#include "../ros/messages.hpp"
#include "hwnas_runtime/words.hpp"

namespace hwnas::ros {
namespace {

constexpr const char* kName = "hwnas_segmentation";
constexpr const char* kInput = "points";
constexpr std::chrono::seconds kDiagnosticsPeriod(1);

// What ROS says of a parameter to people and programs.
rcl_interfaces::msg::ParameterDescriptor descriptor_of(const NodeParameter& parameter) {
  rcl_interfaces::msg::ParameterDescriptor found;
  found.description = parameter.description;
  found.additional_constraints = parameter.constraints();
  found.read_only = parameter.is_read_only;
  if (!parameter.range) return found;
  if (std::holds_alternative<double>(parameter.default_value)) {
    auto& range = found.floating_point_range.emplace_back();
    range.from_value = parameter.range->first;
    range.to_value = parameter.range->second;
  } else {
    auto& range = found.integer_range.emplace_back();
    range.from_value = static_cast<int64_t>(parameter.range->first);
    range.to_value = static_cast<int64_t>(parameter.range->second);
    range.step = 1;
  }
  return found;
}

Value value_of(const rclcpp::Parameter& parameter) {
  switch (parameter.get_type()) {
    case rclcpp::ParameterType::PARAMETER_BOOL: return parameter.as_bool();
    case rclcpp::ParameterType::PARAMETER_INTEGER: return parameter.as_int();
    case rclcpp::ParameterType::PARAMETER_DOUBLE: return parameter.as_double();
    case rclcpp::ParameterType::PARAMETER_STRING: return parameter.as_string();
    case rclcpp::ParameterType::PARAMETER_STRING_ARRAY: return parameter.as_string_array();
    default:
      throw runtime::Error(runtime::ErrorKind::kArgument, "`" + parameter.get_name() + "` is of the type " +
                                                              parameter.get_type_name() +
                                                              "; no parameter of the node is.");
  }
}

const NodeParameter* find_parameter(const std::string& name) {
  for (const NodeParameter& parameter : node_parameters()) {
    if (parameter.name == name) return &parameter;
  }
  return nullptr;
}

}  // namespace

SegmentationComponent::SegmentationComponent(const rclcpp::NodeOptions& options)
    : LifecycleNode(kName, options),
      arrivals_(create_callback_group(rclcpp::CallbackGroupType::MutuallyExclusive)),
      diagnosing_(create_callback_group(rclcpp::CallbackGroupType::MutuallyExclusive)),
      // Sent in every state, unlike what a lifecycle publisher sends.
      diagnostics_(rclcpp::create_publisher<Diagnostics>(*this, "/diagnostics", rclcpp::QoS(10))),
      live_(*this) {
  for (const NodeParameter& parameter : node_parameters()) {
    const rclcpp::ParameterValue value =
        std::visit([](const auto& one) { return rclcpp::ParameterValue(one); }, parameter.default_value);
    declare_parameter(parameter.name, value, descriptor_of(parameter));
  }
  diagnosis_timer_ = create_wall_timer(kDiagnosticsPeriod, [this] { diagnose(); }, diagnosing_);
  parameters_handle_ = add_on_set_parameters_callback(
      [this](const std::vector<rclcpp::Parameter>& changed) { return take_parameters(changed); });
  start_timer_ = create_wall_timer(std::chrono::seconds(0), [this] { start(); });
}

SegmentationComponent::~SegmentationComponent() { live_.cleanup(); }

SegmentationComponent::CallbackReturn SegmentationComponent::on_configure(const rclcpp_lifecycle::State&) {
  try {
    live_.configure(settings({}));
  } catch (const runtime::Error& error) {
    live_.note_problem(error.what());
    RCLCPP_ERROR(get_logger(), "Not configured: %s", runtime::visible(error.what()).c_str());
    return CallbackReturn::FAILURE;
  }
  const std::string topic = get_node_topics_interface()->resolve_topic_name(kInput);
  for (Kind kind : kKinds) {
    // Read by subscribers of either reliability; what a slow one has not fetched gives way to what is newer.
    outputs_[static_cast<size_t>(kind)] = create_publisher<Cloud>(output_topic(topic, kind), rclcpp::QoS(2));
  }
  subscribe();
  for (const auto& [name, text] : live_.report().network) {
    RCLCPP_INFO(get_logger(), "%s: %s", name.c_str(), text.c_str());
  }
  return CallbackReturn::SUCCESS;
}

SegmentationComponent::CallbackReturn SegmentationComponent::on_activate(const rclcpp_lifecycle::State&) {
  for (const auto& output : outputs_) output->on_activate();  // publishers first
  live_.activate();
  RCLCPP_INFO(get_logger(), "Labels what arrives on %s, and publishes %s, %s, %s", input_->get_topic_name(),
              outputs_[0]->get_topic_name(), outputs_[1]->get_topic_name(), outputs_[2]->get_topic_name());
  return CallbackReturn::SUCCESS;
}

SegmentationComponent::CallbackReturn SegmentationComponent::on_deactivate(const rclcpp_lifecycle::State&) {
  live_.deactivate();
  for (const auto& output : outputs_) output->on_deactivate();
  return CallbackReturn::SUCCESS;
}

SegmentationComponent::CallbackReturn SegmentationComponent::on_cleanup(const rclcpp_lifecycle::State&) {
  release();
  return CallbackReturn::SUCCESS;
}

SegmentationComponent::CallbackReturn SegmentationComponent::on_shutdown(const rclcpp_lifecycle::State&) {
  release();
  return CallbackReturn::SUCCESS;
}

bool SegmentationComponent::wants(Kind kind) {
  return outputs_[static_cast<size_t>(kind)]->get_subscription_count() > 0;
}

void SegmentationComponent::publish(Messages&& messages) {
  for (auto& [kind, cloud] : messages) {
    outputs_[static_cast<size_t>(kind)]->publish(message_of(std::move(cloud)));
  }
}

void SegmentationComponent::report_error(const std::string& text) {
  RCLCPP_WARN_THROTTLE(get_logger(), *get_clock(), kComplaintPeriodS * 1e3, "%s", runtime::visible(text).c_str());
}

NodeSettings SegmentationComponent::settings(const std::vector<rclcpp::Parameter>& changed) const {
  std::map<std::string, Value> values;
  for (const NodeParameter& parameter : node_parameters()) {
    values[parameter.name] = value_of(get_parameter(parameter.name));
  }
  for (const rclcpp::Parameter& parameter : changed) values[parameter.get_name()] = value_of(parameter);
  return NodeSettings(values);
}

// Takes new values, or says why not; of a bundle, when it is open.
rcl_interfaces::msg::SetParametersResult SegmentationComponent::take_parameters(
    const std::vector<rclcpp::Parameter>& changed) {
  std::vector<rclcpp::Parameter> own;
  bool opens = false;
  for (const rclcpp::Parameter& parameter : changed) {
    const NodeParameter* known = find_parameter(parameter.get_name());
    if (!known) continue;
    own.push_back(parameter);
    opens = opens || known->is_of_network;
  }
  rcl_interfaces::msg::SetParametersResult result;
  result.successful = true;
  if (own.empty()) return result;
  try {
    const NodeSettings wanted = settings(own);
    if (live_.report().is_configured) live_.configure(wanted, opens);
  } catch (const runtime::Error& error) {
    RCLCPP_ERROR(get_logger(), "Not set: %s", runtime::visible(error.what()).c_str());
    result.successful = false;
    result.reason = error.what();
  }
  return result;
}

void SegmentationComponent::subscribe() {
  // As the middleware's profile for sensor data, but deeper: what is not fetched in time is overwritten, while what is
  // fetched waits for nobody. Two seconds at 10 Hz.
  const rclcpp::QoS qos = rclcpp::QoS(20).best_effort();
  rclcpp::SubscriptionOptions options;
  options.callback_group = arrivals_;
  options.qos_overriding_options = rclcpp::QosOverridingOptions::with_default_policies();
  options.event_callbacks.message_lost_callback = [this](const rclcpp::QOSMessageLostInfo& event) {
    const std::lock_guard<std::mutex> lock(reporting_);
    live_.lose(losses_.reported(event.total_count_change));
  };
  const auto take = [this](std::shared_ptr<const Cloud> message, const rclcpp::MessageInfo& about) {
    receive(message, about);
  };
  try {
    input_ = create_subscription<Cloud>(kInput, qos, take, options);
  } catch (const rclcpp::UnsupportedEventTypeException&) {
    options.event_callbacks.message_lost_callback = nullptr;  // this middleware does not tell
    input_ = create_subscription<Cloud>(kInput, qos, take, options);
  }
}

void SegmentationComponent::receive(const std::shared_ptr<const Cloud>& message, const rclcpp::MessageInfo& about) {
  const rmw_message_info_t& told = about.get_rmw_message_info();
  const auto* gid = reinterpret_cast<const char*>(told.publisher_gid.data);
  const bool is_numbered = told.publication_sequence_number != RMW_MESSAGE_INFO_SEQUENCE_NUMBER_UNSUPPORTED;
  {
    const std::lock_guard<std::mutex> lock(reporting_);
    live_.lose(losses_.arrived(std::string(gid, RMW_GID_STORAGE_SIZE),
                               is_numbered ? told.publication_sequence_number : 0));
  }
  live_.receive(view_of(message));
}

void SegmentationComponent::release() {
  live_.cleanup();
  input_.reset();
  for (auto& output : outputs_) output.reset();
  const std::lock_guard<std::mutex> lock(reporting_);
  reported_ = Counts();
  losses_ = MessageLosses();
}

// Configures and activates the node if `autostart` says so, once something executes it.
void SegmentationComponent::start() {
  start_timer_->cancel();
  if (!get_parameter("autostart").as_bool()) return;
  if (configure().label() == "inactive") activate();
}

void SegmentationComponent::diagnose() {
  const NodeReport report = live_.report();
  Counts before;
  {
    const std::lock_guard<std::mutex> lock(reporting_);
    before = std::exchange(reported_, report.counts);
  }
  Diagnostics message = diagnostics_of(get_fully_qualified_name(), report, before);
  message.header.stamp = now();
  diagnostics_->publish(message);
}

}  // namespace hwnas::ros

RCLCPP_COMPONENTS_REGISTER_NODE(hwnas::ros::SegmentationComponent)

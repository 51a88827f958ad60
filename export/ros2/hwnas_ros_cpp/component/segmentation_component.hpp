// A lifecycle component of ROS 2 that labels clouds with a bundle: a shell of rclcpp around LiveSegmentation, with the
// topics, parameters, states and diagnostics of the Python node (docs/guides/ros2-node.md).

#ifndef HWNAS_ROS_COMPONENT_SEGMENTATION_COMPONENT_HPP_
#define HWNAS_ROS_COMPONENT_SEGMENTATION_COMPONENT_HPP_

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <diagnostic_msgs/msg/diagnostic_array.hpp>
#include <rclcpp/rclcpp.hpp>
#include <rclcpp_lifecycle/lifecycle_node.hpp>
#include <rclcpp_lifecycle/lifecycle_publisher.hpp>
#include <sensor_msgs/msg/point_cloud2.hpp>

#include "hwnas_ros/live_segmentation.hpp"
#include "hwnas_ros/message_losses.hpp"

namespace hwnas::ros {

/// Labels clouds from activation to deactivation.
class SegmentationComponent : public rclcpp_lifecycle::LifecycleNode, private SegmentationSink {
 public:
  using CallbackReturn = rclcpp_lifecycle::node_interfaces::LifecycleNodeInterface::CallbackReturn;

  /// Declares parameters; nothing is opened before the node is configured.
  explicit SegmentationComponent(const rclcpp::NodeOptions& options);
  ~SegmentationComponent() override;

  /// Opens the bundle and creates publishers and the subscription.
  CallbackReturn on_configure(const rclcpp_lifecycle::State& state) override;
  /// Begins to label.
  CallbackReturn on_activate(const rclcpp_lifecycle::State& state) override;
  /// Finishes the scan that is being labelled, and takes no other.
  CallbackReturn on_deactivate(const rclcpp_lifecycle::State& state) override;
  /// Gives bundle, publishers and subscription back.
  CallbackReturn on_cleanup(const rclcpp_lifecycle::State& state) override;
  /// Gives everything back; the process goes on until it is ended.
  CallbackReturn on_shutdown(const rclcpp_lifecycle::State& state) override;

 private:
  using Cloud = sensor_msgs::msg::PointCloud2;
  using Diagnostics = diagnostic_msgs::msg::DiagnosticArray;

  bool wants(Kind kind) override;
  void publish(Messages&& messages) override;
  void report_error(const std::string& text) override;

  /// The parameters as they are, or as they would be with new values. Throws hwnas::runtime::Error.
  NodeSettings settings(const std::vector<rclcpp::Parameter>& changed) const;
  rcl_interfaces::msg::SetParametersResult take_parameters(const std::vector<rclcpp::Parameter>& changed);
  void subscribe();
  void receive(const std::shared_ptr<const Cloud>& message, const rclcpp::MessageInfo& about);
  void release();
  void start();
  void diagnose();

  // Clouds go on arriving while a bundle is opened, which is done in a callback of another group.
  const rclcpp::CallbackGroup::SharedPtr arrivals_, diagnosing_;
  rclcpp::Publisher<Diagnostics>::SharedPtr diagnostics_;
  rclcpp::Subscription<Cloud>::SharedPtr input_;
  std::array<rclcpp_lifecycle::LifecyclePublisher<Cloud>::SharedPtr, kKinds.size()> outputs_;
  rclcpp::TimerBase::SharedPtr diagnosis_timer_, start_timer_;
  rclcpp::node_interfaces::OnSetParametersCallbackHandle::SharedPtr parameters_handle_;
  std::mutex reporting_;  // guards the two below
  Counts reported_;
  MessageLosses losses_;
  LiveSegmentation live_;  // ends first: it publishes
};

}  // namespace hwnas::ros

#endif  // HWNAS_ROS_COMPONENT_SEGMENTATION_COMPONENT_HPP_

// Messages of ROS from and to those of the core.

#ifndef HWNAS_ROS_ROS_MESSAGES_HPP_
#define HWNAS_ROS_ROS_MESSAGES_HPP_

#include <memory>
#include <string>
#include <utility>

#include <diagnostic_msgs/msg/diagnostic_array.hpp>
#include <sensor_msgs/msg/point_cloud2.hpp>

#include "hwnas_ros/node_reports.hpp"
#include "hwnas_ros/point_cloud2.hpp"

namespace hwnas::ros {

/// Why a scan was not labelled is logged no more often than this; the diagnostics count all of them.
constexpr double kComplaintPeriodS = 5.0;

/// A view of a message, which it keeps.
inline CloudView view_of(std::shared_ptr<const sensor_msgs::msg::PointCloud2> message) {
  CloudView cloud;
  cloud.height = message->height;
  cloud.width = message->width;
  for (const auto& field : message->fields) {
    cloud.fields.push_back({field.name, field.offset, field.datatype, field.count});
  }
  cloud.is_bigendian = message->is_bigendian;
  cloud.point_step = message->point_step;
  cloud.row_step = message->row_step;
  cloud.is_dense = message->is_dense;
  cloud.stamp_s = message->header.stamp.sec;
  cloud.stamp_ns = message->header.stamp.nanosec;
  cloud.frame_id = message->header.frame_id;
  cloud.data = message->data.data();
  cloud.size_bytes = message->data.size();
  cloud.owner = std::move(message);
  return cloud;
}

/// The message of a cloud; its bytes are moved, not copied.
inline std::unique_ptr<sensor_msgs::msg::PointCloud2> message_of(MadeCloud&& cloud) {
  auto message = std::make_unique<sensor_msgs::msg::PointCloud2>();
  message->header.stamp.sec = cloud.stamp_s;
  message->header.stamp.nanosec = cloud.stamp_ns;
  message->header.frame_id = cloud.frame_id;
  message->height = cloud.height;
  message->width = cloud.width;
  for (const PointField& field : cloud.fields) {
    auto& made = message->fields.emplace_back();
    made.name = field.name;
    made.offset = field.offset;
    made.datatype = field.datatype;
    made.count = field.count;
  }
  message->is_bigendian = cloud.is_bigendian;
  message->point_step = cloud.point_step;
  message->row_step = cloud.row_step;
  message->data = std::move(cloud.data);
  message->is_dense = cloud.is_dense;
  return message;
}

/// Diagnostics of a node, without a stamp.
///
/// name: of the node, with its namespace.
/// before: counts of the report before.
inline diagnostic_msgs::msg::DiagnosticArray diagnostics_of(const std::string& name, const NodeReport& report,
                                                            const Counts& before) {
  diagnostic_msgs::msg::DiagnosticArray message;
  auto& status = message.status.emplace_back();
  const auto [level, text] = report.status_since(before);
  status.level = static_cast<uint8_t>(level);
  status.name = name + ": segmentation";
  status.message = text;
  for (const auto& [key, value] : report.network) {
    if (key == "architecture") status.hardware_id = value;
  }
  for (const auto& [key, value] : report.values()) {
    auto& made = status.values.emplace_back();
    made.key = key;
    made.value = value;
  }
  return message;
}

}  // namespace hwnas::ros

#endif  // HWNAS_ROS_ROS_MESSAGES_HPP_

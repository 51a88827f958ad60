// Labels clouds as they arrive: what a node does, without ROS; see hwnas.robotics.live_segmentation.
//
//     LiveSegmentation live(sink);
//     live.configure(NodeSettings({{"bundle", std::string("bundles/4f1c2d")}}));
//     live.activate();
//     live.receive(cloud);  // from any thread; returns at once
//
// One thread labels. One scan may wait for it; a newer one takes its place, and the older one is counted as dropped:
// on a slow computer labels are of the newest scan, not of one from long ago.

#ifndef HWNAS_ROS_LIVE_SEGMENTATION_HPP_
#define HWNAS_ROS_LIVE_SEGMENTATION_HPP_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "hwnas_runtime/runtime.hpp"
#include "node_reports.hpp"
#include "node_settings.hpp"
#include "point_cloud2.hpp"

namespace hwnas::ros {

/// What is appended to the name of the input topic, as Autoware names its outputs.
enum class Kind { kSegmentation, kVisualization, kFiltered };
constexpr std::array<Kind, 3> kKinds = {Kind::kSegmentation, Kind::kVisualization, Kind::kFiltered};
const char* name_of(Kind kind);
/// Name of an output topic.
std::string output_topic(const std::string& points, Kind kind);

/// Messages of one scan.
using Messages = std::map<Kind, MadeCloud>;

/// Where labels go. All but `report_error` is called by the thread that labels.
class SegmentationSink {
 public:
  virtual ~SegmentationSink() = default;
  /// Whether somebody listens to messages of a kind, visualization or filtered.
  virtual bool wants(Kind kind) = 0;
  /// Sends all messages of one scan, or throws.
  virtual void publish(Messages&& messages) = 0;
  /// Takes note of a scan that was refused or failed, from any thread.
  virtual void report_error(const std::string& text) = 0;
};

using OpenRunner = std::function<std::shared_ptr<runtime::Runner>(const NodeSettings&)>;
/// Opens the bundle that settings name. Throws hwnas::runtime::Error.
std::shared_ptr<runtime::Runner> open_runner(const NodeSettings& settings);

/// Labels the newest of the clouds that arrive. Every method may be called from any thread.
class LiveSegmentation {
 public:
  /// Begins unconfigured. The sink must live longer.
  explicit LiveSegmentation(SegmentationSink& sink, OpenRunner opener = open_runner);
  ~LiveSegmentation();
  LiveSegmentation(const LiveSegmentation&) = delete;
  LiveSegmentation& operator=(const LiveSegmentation&) = delete;

  /// Takes settings. Scans are labelled as before until a new network is ready; if it cannot be, nothing changes.
  ///
  /// opens: whether the bundle is opened anew; it is, too, if none is open.
  /// Throws hwnas::runtime::Error if the bundle or a parameter cannot be used.
  void configure(const NodeSettings& settings, bool opens = true);
  /// Labels what arrives from now on. Throws hwnas::runtime::Error (kArgument) if no bundle is open.
  void activate();
  /// Finishes the scan that is being labelled, and takes no other.
  void deactivate();
  /// Gives the network back; a node that is active is deactivated. Counts begin anew.
  void cleanup();
  /// Takes a message that has arrived; nothing becomes of it unless the node is active. One that cannot be read is
  /// refused at once, and takes no other's place. Its `owner` must keep the data.
  void receive(const CloudView& cloud);
  /// Counts messages that never arrived, as the middleware says; nothing unless the node is active.
  void lose(uint64_t count);
  /// Remembers why parameters could not be taken; empty once they could.
  void note_problem(const std::string& text);
  NodeReport report() const;

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

}  // namespace hwnas::ros

#endif  // HWNAS_ROS_LIVE_SEGMENTATION_HPP_

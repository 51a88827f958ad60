// The core behind functions of C, for tests/robotics/cpp_node.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "hwnas_ros/live_segmentation.hpp"
#include "hwnas_runtime/words.hpp"

namespace {

namespace hr = hwnas::ros;
namespace rt = hwnas::runtime;

std::string last_text;  // what was returned last: the tests have one thread that asks

const char* keep(std::string text) {
  last_text = std::move(text);
  return last_text.c_str();
}


}  // namespace

extern "C" {

struct probe_field {
  const char* name;
  size_t name_size;
  uint32_t offset;
  uint32_t count;
  uint8_t datatype;
};

struct probe_cloud {
  uint32_t height, width, point_step, row_step;
  uint8_t is_bigendian, is_dense;
  int32_t stamp_s;
  uint32_t stamp_ns;
  const char* frame_id;
  const probe_field* fields;
  size_t num_fields;
  const uint8_t* data;
  size_t size_bytes;
};

using probe_publish = void (*)(int32_t kind, const probe_cloud* cloud);
using probe_complain = void (*)(const char* text);
using probe_wait = void (*)();
}

namespace {

hr::CloudView view_of(const probe_cloud& given) {
  hr::CloudView cloud;
  cloud.height = given.height;
  cloud.width = given.width;
  cloud.point_step = given.point_step;
  cloud.row_step = given.row_step;
  cloud.is_bigendian = given.is_bigendian != 0;
  cloud.is_dense = given.is_dense != 0;
  cloud.stamp_s = given.stamp_s;
  cloud.stamp_ns = given.stamp_ns;
  cloud.frame_id = given.frame_id;
  for (size_t i = 0; i < given.num_fields; ++i) {
    const probe_field& field = given.fields[i];
    cloud.fields.push_back({std::string(field.name, field.name_size), field.offset, field.datatype, field.count});
  }
  const auto bytes = std::make_shared<const std::vector<uint8_t>>(given.data, given.data + given.size_bytes);
  cloud.data = bytes->data();
  cloud.size_bytes = bytes->size();
  cloud.owner = bytes;
  return cloud;
}

class Sink : public hr::SegmentationSink {
 public:
  Sink(probe_publish sends, probe_complain complains) : publish_(sends), complain_(complains) {}

  bool wants(hr::Kind kind) override { return wanted.at(static_cast<size_t>(kind)); }
  void publish(hr::Messages&& messages) override {
    if (wait) wait.load()();
    for (const auto& [kind, cloud] : messages) {
      std::vector<probe_field> fields;
      for (const hr::PointField& field : cloud.fields) {
        fields.push_back({field.name.data(), field.name.size(), field.offset, field.count, field.datatype});
      }
      const probe_cloud sent = {cloud.height,      cloud.width,   cloud.point_step,       cloud.row_step,
                                cloud.is_bigendian, cloud.is_dense, cloud.stamp_s,         cloud.stamp_ns,
                                cloud.frame_id.c_str(), fields.data(), fields.size(),      cloud.data.data(),
                                cloud.data.size()};
      publish_(static_cast<int32_t>(kind), &sent);
    }
  }
  void report_error(const std::string& text) override { complain_(text.c_str()); }

  std::array<std::atomic<bool>, 3> wanted{true, true, true};
  std::atomic<probe_wait> wait{nullptr};

 private:
  const probe_publish publish_;
  const probe_complain complain_;
};

struct Node {
  Node(probe_publish publish, probe_complain complain) : sink(publish, complain), live(sink) {}
  Sink sink;
  hr::LiveSegmentation live;
  hr::Counts before;
};

// Runs a function; returns what an error says, after its kind, or null.
template <typename Function>
const char* guarded(Function function) {
  try {
    function();
    return nullptr;
  } catch (const rt::Error& error) {
    return keep(std::to_string(static_cast<int>(error.kind())) + " " + error.what());
  } catch (const std::exception& error) {
    return keep(std::string("0 ") + error.what());
  }
}

std::map<std::string, hr::Value> values_of(const char* const* texts, size_t count) {
  std::map<std::string, hr::Value> values;
  for (size_t i = 0; i + 1 < count; i += 2) {
    const std::string name = texts[i], text = texts[i + 1];
    values[name] = text;
    for (const hr::NodeParameter& parameter : hr::node_parameters()) {
      if (parameter.name == name) values[name] = parameter.of_text(text);
    }
  }
  return values;
}

}  // namespace

extern "C" {

// Points of a message; positions, intensity, ring and time are written where there are any.
const char* probe_points(const probe_cloud* given, const char* const* options, size_t num_options, double* positions,
                         uint8_t* is_wide, float* intensity, int32_t* ring, double* time, uint8_t* has) {
  return guarded([&] {
    const hr::CloudView cloud = view_of(*given);
    hr::check(cloud);
    hr::CloudFields fields;
    for (size_t i = 0; i + 1 < num_options; i += 2) {
      const std::string name = options[i], text = options[i + 1];
      for (auto [known, place] : {std::pair<const char*, std::string*>{"x", &fields.x},
                                  {"y", &fields.y},
                                  {"z", &fields.z},
                                  {"intensity", &fields.intensity},
                                  {"ring", &fields.ring},
                                  {"time", &fields.time},
                                  {"time_unit", &fields.time_unit}}) {
        if (name == known) *place = text;
      }
      if (name == "intensity_scale") fields.intensity_scale = std::stod(text);
    }
    fields.check();
    hr::CloudPoints found;
    hr::read_points(cloud, fields, found);
    for (size_t i = 0; i < found.points.size(); ++i) {
      positions[i] = found.is_wide ? found.wide[i] : static_cast<double>(found.points[i]);
    }
    *is_wide = found.is_wide;
    std::copy(found.intensity.begin(), found.intensity.end(), intensity);
    std::copy(found.ring.begin(), found.ring.end(), ring);
    std::copy(found.time_s.begin(), found.time_s.end(), time);
    has[0] = !found.ring.empty();
    has[1] = !found.time_s.empty();
  });
}

const char* probe_words(const char* what, const char* text, size_t size, const char* const* known, size_t count) {
  const std::string_view given(text, size);
  const std::string name = what;
  if (name == "shown") return keep(rt::shown(given));
  if (name == "visible") return keep(rt::visible(given));
  if (name == "shortened") return keep(rt::shortened(given, 40));
  return keep(rt::did_you_mean(given, std::vector<std::string>(known, known + count)));
}

// All parameters, one a line: name, default, description, range, constraints, read-only, of the network.
const char* probe_parameters() {
  std::string all;
  for (const hr::NodeParameter& parameter : hr::node_parameters()) {
    struct Words {
      std::string operator()(bool value) const { return value ? "true" : "false"; }
      std::string operator()(int64_t value) const { return std::to_string(value); }
      std::string operator()(double value) const { return rt::repr(value); }
      std::string operator()(const std::string& value) const { return rt::repr(value); }
      std::string operator()(const std::vector<std::string>& value) const { return rt::list_repr(value); }
    };
    all += parameter.name + "\t" + std::visit(Words{}, parameter.default_value) + "\t" + parameter.description + "\t" +
           (parameter.range ? rt::format("%g %g", parameter.range->first, parameter.range->second) : "") + "\t" +
           parameter.constraints() + "\t" + (parameter.is_read_only ? "read-only" : "") + "\t" +
           (parameter.is_of_network ? "network" : "") + "\n";
  }
  return keep(all);
}

const char* probe_settings(const char* const* texts, size_t count) {
  return guarded([&] { hr::NodeSettings settings(values_of(texts, count)); });
}

void* probe_node(probe_publish publish, probe_complain complain) { return new Node(publish, complain); }
void probe_end(void* node) { delete static_cast<Node*>(node); }

const char* probe_configure(void* node, const char* const* texts, size_t count, int32_t opens) {
  return guarded(
      [&] { static_cast<Node*>(node)->live.configure(hr::NodeSettings(values_of(texts, count)), opens != 0); });
}
const char* probe_activate(void* node) {
  return guarded([&] { static_cast<Node*>(node)->live.activate(); });
}
void probe_deactivate(void* node) { static_cast<Node*>(node)->live.deactivate(); }
void probe_cleanup(void* node) { static_cast<Node*>(node)->live.cleanup(); }
void probe_receive(void* node, const probe_cloud* cloud) { static_cast<Node*>(node)->live.receive(view_of(*cloud)); }
void probe_lose(void* node, uint64_t count) { static_cast<Node*>(node)->live.lose(count); }
void probe_want(void* node, int32_t kind, int32_t is_wanted) {
  static_cast<Node*>(node)->sink.wanted.at(static_cast<size_t>(kind)) = is_wanted != 0;
}
// Calls a function before each publication.
void probe_before_publishing(void* node, probe_wait wait) { static_cast<Node*>(node)->sink.wait = wait; }

// Level, status and all values, one a line; the status is since the last report.
const char* probe_report(void* node) {
  Node& asked = *static_cast<Node*>(node);
  const hr::NodeReport report = asked.live.report();
  const auto [level, text] = report.status_since(asked.before);
  asked.before = report.counts;
  std::string all = std::to_string(static_cast<int>(level)) + "\n" + text + "\n";
  for (const auto& [name, value] : report.values()) all += name + "\t" + value + "\n";
  return keep(all);
}
}

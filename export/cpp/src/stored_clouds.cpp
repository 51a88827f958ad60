#include <algorithm>
#include <string>

#include "coordinates.h"
#include "grids.h"
#include "hwnas_runtime/runtime.hpp"
#include "json.h"
#include "runner_parts.h"
#include "text.h"

namespace hwnas::runtime {
namespace {

std::string in_words(const Json& value) {
  if (value.is_string()) return shown(value.get_ref<const std::string&>());
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  if (value.is_object() && !value.empty()) {
    return "a mapping of " + std::to_string(value.size()) + (value.size() == 1 ? " key" : " keys");
  }
  return repr(value);
}

}  // namespace

struct StoredClouds::Stated {
  Json options;

  const Json* find_option(const char* name) const {
    const Json* found = find(options, name);
    return found && !found->is_null() ? found : nullptr;
  }
};

StoredClouds::StoredClouds(const Runner& runner, const std::string& format) : runner_(&runner) {
  const Deployment& deployment = runner.parts_->deployment;
  const bool is_same = deployment.scan_format == format;
  stated_.reset(new Stated{is_same ? parse_json(deployment.scan_options) : Json::object()});
}

StoredClouds::~StoredClouds() = default;

std::optional<std::string> StoredClouds::text_option(const char* name) const {
  const Json* found = stated_->find_option(name);
  if (!found) return std::nullopt;
  if (!found->is_string()) {
    throw Error(ErrorKind::kData, std::string("format_options.") + name + " is " + in_words(*found) +
                                      "; expected the name of a field.");
  }
  return found->get<std::string>();
}

std::optional<double> StoredClouds::number_option(const char* name) const {
  const Json* found = stated_->find_option(name);
  if (!found) return std::nullopt;
  if (!found->is_number()) {
    throw Error(ErrorKind::kData,
                std::string("format_options.") + name + " is " + in_words(*found) + "; expected a number.");
  }
  return found->get<double>();
}

template <typename T>
void StoredClouds::turn(const T* points, size_t height, size_t width, StoredScan& scan) const {
  constexpr bool kIsWide = sizeof(T) == sizeof(double);
  const Coordinates& coordinates = runner_->parts_->deployment.coordinates;
  const size_t count = height * width;
  scan.points.resize(3 * count);
  if (is_sensor_frame(coordinates)) {
    std::transform(points, points + 3 * count, scan.points.begin(), [](T value) { return static_cast<float>(value); });
  } else {
    for (size_t i = 0; i < count; ++i) {
      const T* point = points + 3 * i;
      const std::array<float, 3> turned = in_sensor_frame({point[0], point[1], point[2]}, kIsWide, coordinates);
      std::copy(turned.begin(), turned.end(), scan.points.begin() + static_cast<std::ptrdiff_t>(3 * i));
    }
  }
  if (!scan.ring.empty() || height < 2 || width < 2) return;
  Vector<int32_t> ring;
  if (rings_of_grid(scan.points.data(), static_cast<int64_t>(count), ring, static_cast<int64_t>(height),
                    static_cast<int64_t>(width))) {
    scan.ring.assign(ring.begin(), ring.end());
  }
}

void StoredClouds::to_sensor_frame(const float* points, size_t height, size_t width, StoredScan& scan) const {
  turn(points, height, width, scan);
}

void StoredClouds::to_sensor_frame(const double* points, size_t height, size_t width, StoredScan& scan) const {
  turn(points, height, width, scan);
}

}  // namespace hwnas::runtime

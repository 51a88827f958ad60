// Coordinates of files and messages in the frame of the sensor; see hwnas.data.scan_files.frames.

#ifndef HWNAS_RUNTIME_SRC_COORDINATES_H_
#define HWNAS_RUNTIME_SRC_COORDINATES_H_

#include <array>

#include "settings.h"

namespace hwnas::runtime {

// Whether points are stored in the frame of the sensor, in metres.
bool is_sensor_frame(const Coordinates& coordinates);

// A point in metres in the frame of the sensor. is_wide: stored as float64.
std::array<float, 3> in_sensor_frame(std::array<double, 3> point, bool is_wide, const Coordinates& coordinates);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_COORDINATES_H_

// Whether a cloud shows the ground where it is expected; see hwnas.data.geometry.expected_ground.

#ifndef HWNAS_RUNTIME_SRC_EXPECTED_GROUND_H_
#define HWNAS_RUNTIME_SRC_EXPECTED_GROUND_H_

#include <optional>

#include "cloud_geometry.h"

namespace hwnas::runtime {

// The share of the points near the sensor that lie on a ground of the expected height; none where there is no such
// ground. least_turn: of the turn that the points cover, the share in which the ground must be seen.
std::optional<double> support_of_ground(const Cloud& cloud, const Pair& height_m, double least_turn = 0.25);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_EXPECTED_GROUND_H_

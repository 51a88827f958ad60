// Rings of clouds that keep the grid of the sensor; see hwnas.range_view.grids, which says how it works.

#ifndef HWNAS_RUNTIME_SRC_GRIDS_H_
#define HWNAS_RUNTIME_SRC_GRIDS_H_

#include <cstdint>

#include "../scratch.h"

namespace hwnas::runtime {

// The ring of each of [count][3] points, 0 = top, in the order of their file, holes included; false if they are no
// grid. height, width: that an organised file states, or 0.
bool rings_of_grid(const float* points, int64_t count, Vector<int32_t>& ring, int64_t height = 0, int64_t width = 0);

// Whether elevations bear out the rows of recovered rings, if these are fewer than beams; see
// hwnas.range_view.rows.are_confirmed.
//
// points [count][3]; row [count] as recovered; beams [num_beams]: sines, see hwnas_project.
bool are_rows_confirmed(const float* points, int64_t count, const int32_t* row, const int32_t* beams,
                        int32_t num_beams);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_GRIDS_H_

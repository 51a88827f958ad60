// Range images from LiDAR points, and labels of pixels back to points.
//
// The same functions that hwnas trains, evaluates and runs networks with: numpy code of the Python package and
// this source give the same bits. C interface, C++17 source, no dependency; build range_view.cpp with
// -ffp-contract=off, since a fused multiply-add rounds otherwise than the two operations. A thread that calls it keeps
// up to 64 MB for the next call, some 5 MB after scans of 120,000 points.

#ifndef HWNAS_RANGE_VIEW_H_
#define HWNAS_RANGE_VIEW_H_

#include <stdint.h>

#if defined(_WIN32)
#define HWNAS_API __declspec(dllexport)
#else
#define HWNAS_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum { HWNAS_RING = 0, HWNAS_SPHERICAL = 1, HWNAS_BEAMS = 2 };
enum { HWNAS_NO_MEMORY = -1, HWNAS_WRONG_RING = -2, HWNAS_NO_ROWS = -3 };
enum { HWNAS_REORDERED = 1, HWNAS_DISAGREE = 2, HWNAS_OTHER_BEAMS = 4 };

/// Version of this interface; callers refuse another one.
HWNAS_API int32_t hwnas_range_view_version(void);

/// Projects points into an image of height x width pixels; of several points in one pixel the nearest wins,
/// of equally near ones the first. Points at the origin or with a coordinate that is not finite get pixel
/// (0, 0) and never win it.
///
/// points        [count][3] metres: x forward, y left, z up
/// remission     [count] 0..1
/// ring          [count] ring of the sensor as its driver numbers them, from either end, or null: then
///               recovered from the points, and where that fails the row is that of the nearest beam
/// method        HWNAS_RING or HWNAS_SPHERICAL
/// fov_down_deg  elevation of the lower edge, for HWNAS_SPHERICAL, and for HWNAS_RING where there are neither
///               rings nor beams
/// fov_span_deg  from the lower to the upper edge; NaN if that is not known
/// beams         [num_beams] for each row, from the top, the elevation of its beam, as a number from 0 to 65535:
///               round(32768 * (1 + sin(elevation))); the manifest states elevations as beams_deg. Or null
/// channels      out, [5][height][width]: range, x, y, z, remission; 0 where no point fell
/// valid         out, [height][width]: 1 where a point fell
/// point_index   out, [height][width]: which point won, -1 where none
/// row, column   out, [count]: pixel of every point; row 0 is the top one
/// range_m       out, [count]: distance from the sensor
/// remark        out: HWNAS_REORDERED if rings are not numbered in the order of their elevations, and were
///               sorted; HWNAS_DISAGREE if they contradict the elevations of the points; HWNAS_OTHER_BEAMS if they fit
///               other beams than the numbers name; or 0
///
/// Returns how rows were found: HWNAS_RING, HWNAS_BEAMS or HWNAS_SPHERICAL. Or HWNAS_NO_MEMORY, or
/// HWNAS_WRONG_RING for more rings than rows, or HWNAS_NO_ROWS where nothing tells the rows.
HWNAS_API int32_t hwnas_project(const float* points, const float* remission, const int32_t* ring, int64_t count,
                                int32_t height, int32_t width, int32_t method, float fov_down_deg,
                                float fov_span_deg, const int32_t* beams, int32_t num_beams, float* channels,
                                uint8_t* valid, int32_t* point_index, int32_t* row, int32_t* column,
                                float* range_m, int32_t* remark);

/// Recovers the ring of each point from the points alone, in whatever order they come.
///
/// points        [count][3] metres: x forward, y left, z up
/// ring          out, [count]: 0 is the top one of the rings that have points
///
/// Returns 0, or HWNAS_NO_ROWS where nothing tells the rings, or HWNAS_NO_MEMORY.
HWNAS_API int32_t hwnas_recover_rings(const float* points, int64_t count, int32_t* ring);

/// Labels every point by a vote of its k nearest neighbours in the image, which is cyclic in azimuth
/// (Milioto et al., RangeNet++, IROS 2019, section III-D).
///
/// label_image   [height][width] class of each pixel; those >= num_classes have no vote
/// ranges        [height][width] range of each pixel, the first channel of hwnas_project
/// valid, point_index, row, column, range_m  as hwnas_project wrote them
/// weights       [window][window] of differences in range, not negative
/// k, window     how many vote, and side of the window in pixels, odd
/// cutoff_m      weighted difference in range from which a neighbour has no vote
/// only_lost     nonzero: points that won their pixel keep its label
/// labels        out, [count]; 255 where no neighbour has a vote
///
/// Returns 0, or HWNAS_NO_MEMORY.
HWNAS_API int32_t hwnas_label_points(const uint8_t* label_image, const float* ranges, const uint8_t* valid,
                                     const int32_t* point_index, const int32_t* row, const int32_t* column,
                                     const float* range_m, int64_t count, int32_t height, int32_t width,
                                     const float* weights, int32_t k, int32_t window, float cutoff_m,
                                     int32_t num_classes, int32_t only_lost, uint8_t* labels);

#ifdef __cplusplus
}
#endif

#endif  // HWNAS_RANGE_VIEW_H_

// How many numbers a point has in a file without a header, by the values themselves; see hwnas.data.scan_files.columns.

#ifndef HWNAS_RUNTIME_SRC_COLUMNS_H_
#define HWNAS_RUNTIME_SRC_COLUMNS_H_

#include <string_view>

namespace hwnas::runtime {

// The number of float32 columns that a file seems to have, if it is not the stated one; 0 if `stated` is as likely
// as any, or the values do not tell. stated: 0 where the file cannot have the number that it is read with.
int likely_columns(std::string_view content, int stated);

// Whether a file holds float64: nearly all values are then of a size that scans have.
bool looks_like_float64(std::string_view content);

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_COLUMNS_H_

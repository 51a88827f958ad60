// Refuses scans that contradict what a network was trained on, with the words of hwnas.bundle.runtime.scan_checks.

#ifndef HWNAS_RUNTIME_SRC_SCAN_CHECKS_H_
#define HWNAS_RUNTIME_SRC_SCAN_CHECKS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../scratch.h"
#include "expectations.h"
#include "projection.h"

namespace hwnas::runtime {

// A scan of which M points have a direction.
struct CheckedScan {
  size_t num_points = 0;  // with those that have no direction
  size_t count = 0;       // M
  const float* points = nullptr;     // [M][3]
  const float* intensity = nullptr;  // [M]
  const int32_t* ring = nullptr;     // [M] as given, or null
  const double* time = nullptr;      // [M], or null
  const RangeImage* image = nullptr;  // null if projection was refused
};

class ScanChecks {
 public:
  ScanChecks() = default;
  // num_rows: of the image; is_ring: whether they are those of rings.
  ScanChecks(std::optional<ScanExpectations> expects, bool is_ring, size_t num_rows)
      : expects_(std::move(expects)), is_ring_(is_ring), num_rows_(num_rows) {}

  // Refuses a scan of another unit, sensor, mounting or order, for all its reasons at once.
  //
  // problems: what was found before and has to be refused in any case.
  // warnings: what is unusual, or cannot be known, is added.
  // Throws Error (kData).
  void check(const CheckedScan& scan, const Vector<const std::string*>& problems,
             std::vector<std::string>& warnings) const;

 private:
  std::optional<ScanExpectations> expects_;
  bool is_ring_ = true;
  size_t num_rows_ = 0;
};

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_SCAN_CHECKS_H_

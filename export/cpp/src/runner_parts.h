// What a runner holds: what its bundle says, and memory that is used again from scan to scan.

#ifndef HWNAS_RUNTIME_SRC_RUNNER_PARTS_H_
#define HWNAS_RUNTIME_SRC_RUNNER_PARTS_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "../scratch.h"
#include "settings.h"
#include "hwnas_runtime/runtime.hpp"
#include "projection.h"
#include "scan_checks.h"

namespace hwnas::runtime {

struct Runner::Parts {
  Deployment deployment;
  std::string architecture_id;
  ScanChecks checks;
  std::unique_ptr<Session> session;
  std::mutex mutex;
  Arena arena;

  // Of the M points of the scan that have a direction.
  std::vector<float> points, intensity, remission;
  std::vector<int32_t> ring, grid_ring;
  std::vector<double> time;
  std::vector<uint32_t> index;  // in the scan
  std::vector<uint8_t> kept_labels;

  RangeImage image;
  std::vector<float> input, logits;
  std::vector<uint8_t> label_image;
  Softmax softmax;

  void take_in(const Scan& scan);
  template <typename T>
  void take_in(const T* given, std::vector<T>& kept) const;
  static void check_ring(const Scan& scan);
  bool find_grid(const Scan& scan);
  void project_scan(const Scan& scan, std::string& intensity_trouble, std::string& row_trouble);
  void check_scan(const Scan& scan, const std::string& intensity_trouble, const std::string& row_trouble,
                  Result& result);
  void label_scan(size_t count, Result& result);
  void score_scan(size_t count, Result& result);
};

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_SRC_RUNNER_PARTS_H_

// A network that needs no runtime and no memory: its scores follow from the pixel and its range.

#ifndef HWNAS_RUNTIME_TESTS_FAKE_SESSION_H_
#define HWNAS_RUNTIME_TESTS_FAKE_SESSION_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "hwnas_runtime/session.hpp"
#include "manifest.h"

namespace hwnas::runtime {

class FakeSession : public Session {
 public:
  FakeSession(std::vector<TensorSpec> inputs, std::vector<TensorSpec> outputs)
      : inputs_(std::move(inputs)), outputs_(std::move(outputs)) {}

  const std::vector<TensorSpec>& inputs() const override { return inputs_; }
  const std::vector<TensorSpec>& outputs() const override { return outputs_; }

  void run(const float* input, float* output) override {
    const auto& shape = outputs_[0].shape;
    const auto classes = static_cast<size_t>(shape[1]);
    const size_t pixels = static_cast<size_t>(shape[2]) * static_cast<size_t>(shape[3]);
    for (size_t k = 0; k < classes; ++k) {
      for (size_t i = 0; i < pixels; ++i) {
        output[k * pixels + i] = input[i] * (k % 2 ? -1.0f : 1.0f) + static_cast<float>((i / 7 + k) % classes);
      }
    }
  }

  // What `Options::open_session` takes, with the interface that the manifest states.
  static std::unique_ptr<Session> of(const std::string& bundle) {
    Manifest manifest = read_manifest(bundle);
    return std::make_unique<FakeSession>(manifest.inputs, manifest.outputs);
  }

 private:
  std::vector<TensorSpec> inputs_, outputs_;
};

}  // namespace hwnas::runtime

#endif  // HWNAS_RUNTIME_TESTS_FAKE_SESSION_H_

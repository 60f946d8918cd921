// For tests that run on every backend of the build: those that this machine lacks are skipped, with
// the reason.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/error.h"
#include "base/rng.h"

namespace halftone {

// Standard deviation 1.
inline float roughly_normal(Rng& rng) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += rng.uniform();
  return static_cast<float>(sum);
}

// INSTANTIATE_TEST_SUITE_P(Backends, Derived, testing::ValuesIn(backend_names()), …)
class BackendFixture : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    try {
      backend_ = make_backend(GetParam(), {});
    } catch (const Error& error) {
      GTEST_SKIP() << GetParam() << " is not on this machine: " << error.what();
    }
  }

  Tensor on_device(const std::vector<float>& values, int64_t rows, int64_t cols) {
    Tensor tensor = backend_->allocate(rows, cols, DType::f32);
    backend_->upload({values.data(), rows, cols, cols, DType::f32, Place::host}, tensor);
    return tensor;
  }

  std::unique_ptr<Backend> backend_;
};

}  // namespace halftone

// For tests that run on every backend of the build: those that this machine lacks are skipped, with
// the reason.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "backend/backend.h"
#include "base/error.h"

namespace halftone {

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

  std::unique_ptr<Backend> backend_;
};

}  // namespace halftone

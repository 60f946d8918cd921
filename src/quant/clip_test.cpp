// Clipped ranges on a group small enough to follow by hand (docs/methods.md §8), and against their
// definition; on every backend.
#include "quant/clip.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "backend/backend_fixture.h"
#include "base/rng.h"
#include "quant/device_matrix.h"
#include "quant/rtn.h"

namespace halftone {
namespace {

using testing::ElementsAre;

class Clip : public BackendFixture {
 protected:
  Hessian hessian_of(ConstView tokens) {
    Hessian hessian(*backend_, tokens.cols);
    hessian.accumulate(tokens);
    return hessian;
  }
  static SolverOptions options(const Grid& grid, bool clip, const GroupMoments* moments) {
    SolverOptions options;
    options.fit = {.grid = grid, .search = ScaleSearch::minmax};
    options.clip = clip;
    options.moments = moments;
    return options;
  }
};

// Σ xᵀx = diag(2, 2, 0.2): the third input is the largest weight's, and the quietest.
TEST_P(Clip, WorkedExample) {
  const float loud = std::sqrt(2.0f), quiet = std::sqrt(0.2f);
  const Tensor tokens = on_device({loud, 0, 0, 0, loud, 0, 0, 0, quiet}, 3, 3);
  const Tensor weight = on_device({0.5f, -0.5f, 3.5f}, 1, 3);
  const Grid grid{3, -1, true, ScaleStore::f32};
  const GroupMoments moments(*backend_, hessian_of(tokens), 3);
  const SolveResult wide = solve_rtn(*backend_, weight, nullptr, options(grid, false, &moments));
  EXPECT_THAT(wide.matrix.download(*backend_).codes, ElementsAre(4, 4, 7));  // 0, 0, 3
  const SolveResult clipped = solve_rtn(*backend_, weight, nullptr, options(grid, true, &moments));
  EXPECT_THAT(clipped.matrix.download(*backend_).codes, ElementsAre(5, 3, 7));  // 0.7, −0.7, 2.1
  EXPECT_NEAR(clipped.matrix.download(*backend_).scales[0], 0.7, 1e-6);
}

// Each group of each row has the least Δ H Δᵀ of the ten ranges, H with its correlations.
TEST_P(Clip, EveryGroupHasTheLeastLoss) {
  constexpr int64_t kInputs = 48, kRows = 5, kWidth = 16, kTokens = 40;
  Rng rng(6);
  std::vector<float> x(kTokens * kInputs), values(kRows * kInputs);
  for (int64_t token = 0; token < kTokens; ++token) {
    const float common = roughly_normal(rng);
    for (int64_t i = 0; i < kInputs; ++i)
      x[static_cast<size_t>(token * kInputs + i)] =
          (common + roughly_normal(rng)) * (i % 5 == 0 ? 4.0f : 0.3f);
  }
  for (float& value : values) value = std::pow(roughly_normal(rng), 3.0f);
  const Tensor tokens = on_device(x, kTokens, kInputs), weight = on_device(values, kRows, kInputs);
  for (const bool symmetric : {true, false}) {
    const Grid grid{4, kWidth, symmetric, ScaleStore::f16};
    const GroupMoments moments(*backend_, hessian_of(tokens), kWidth);
    const QuantizedMatrix got = solve_rtn(*backend_, weight, nullptr, options(grid, true, &moments))
                                    .matrix.download(*backend_);
    const auto loss = [&](const QuantizedMatrix& matrix, int64_t row, int64_t group) {
      double sum = 0;
      for (int64_t token = 0; token < kTokens; ++token) {
        double output = 0;
        for (int64_t i = group * kWidth; i < (group + 1) * kWidth; ++i)
          output += x[static_cast<size_t>(token * kInputs + i)] *
                    (values[static_cast<size_t>(row * kInputs + i)] - matrix.value(row, i));
        sum += output * output;
      }
      return sum;
    };
    std::vector<double> least(static_cast<size_t>(kRows * kInputs / kWidth), INFINITY);
    for (int i = 0; i < 10; ++i) {
      std::vector<float> shrunk = values;
      for (float& value : shrunk) value *= 1 - 0.05f * static_cast<float>(i);
      DeviceMatrix matrix(*backend_, grid, kRows, kInputs);
      backend_->fit_grid(on_device(shrunk, kRows, kInputs),
                         {.grid = grid, .search = ScaleSearch::minmax}, {}, matrix.scales,
                         matrix.zeros);
      backend_->encode(weight, grid, matrix.view());
      const QuantizedMatrix candidate = matrix.download(*backend_);
      for (int64_t row = 0; row < kRows; ++row)
        for (int64_t group = 0; group < kInputs / kWidth; ++group) {
          double& best = least[static_cast<size_t>(row * kInputs / kWidth + group)];
          best = std::min(best, loss(candidate, row, group));
        }
    }
    for (int64_t row = 0; row < kRows; ++row)
      for (int64_t group = 0; group < kInputs / kWidth; ++group)
        EXPECT_NEAR(loss(got, row, group),
                    least[static_cast<size_t>(row * kInputs / kWidth + group)],
                    1e-4 * least[static_cast<size_t>(row * kInputs / kWidth + group)] + 1e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Clip, testing::ValuesIn(backend_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone

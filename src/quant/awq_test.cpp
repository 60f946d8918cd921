// The search for channel scales on a matrix small enough to follow by hand (docs/methods.md §8
// shows the same numbers), on every backend.
#include "quant/awq.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "backend/backend_fixture.h"
#include "base/rng.h"
#include "quant/channel_operations.h"
#include "quant/factor.h"
#include "quant/quadratic_form.h"
#include "quant/rtn.h"

namespace halftone {
namespace {

using testing::IsEmpty;

class Awq : public BackendFixture {
 protected:
  Factor factor_of(ConstView tokens) {
    Hessian hessian(*backend_, tokens.cols);
    hessian.accumulate(tokens);
    return Factor::compute(*backend_, std::move(hessian), ColumnOrder::activation, 0.01);
  }
  static GridFit fit(int bits, int64_t group_size) {
    return {.grid = {bits, group_size, true, ScaleStore::f32}, .search = ScaleSearch::minmax};
  }
};

// Two tokens, (4, 1) and (4, −1): H = diag(32, 2), rms (4, 1), w̄ (1/7, 1); α = β = 3/4 gives s in
// proportion to (28^0.75, 1).
TEST_P(Awq, WorkedExample) {
  const Tensor tokens = on_device({4, 1, 4, -1}, 2, 2), weight = on_device({0.5f, -3.5f}, 1, 2);
  const Factor factor = factor_of(tokens);
  const SampledLinear linear{.rows = weight, .fit = fit(3, -1)};
  const std::vector<int32_t> own = {0, 1}, shared = {0, 0};
  const ChannelScales scales = search_awq_scales(*backend_, {factor, {&linear, 1}, own});
  EXPECT_EQ(scales.exponent, 0.75);
  EXPECT_EQ(scales.weight_exponent, 0.75);
  ASSERT_EQ(scales.factors.size(), 2u);
  EXPECT_NEAR(scales.factors[0], std::pow(28, 0.375), 1e-6);
  EXPECT_NEAR(scales.factors[1], std::pow(28, -0.375), 1e-6);
  EXPECT_NEAR(scales.plain_loss, 32 * 0.25 + 2 * 0.25, 1e-4);
  // (1.7444, −1.0032) in steps of 0.4984: codes (3, −2), over s (0.4286, −3.4778).
  EXPECT_NEAR(scales.loss, 32 * 0.0714 * 0.0714 + 2 * 0.0222 * 0.0222, 2e-4);

  // Inputs that one channel makes take one factor, and one factor for all changes nothing.
  const ChannelScales tied = search_awq_scales(*backend_, {factor, {&linear, 1}, shared});
  EXPECT_EQ(tied.exponent + tied.weight_exponent, 0);
  EXPECT_THAT(tied.factors, IsEmpty());
}

// What is reported is what rounding the scaled weight loses, summed over the linears; an input that
// calibration never moved keeps its weights as they are.
TEST_P(Awq, LossIsThatOfRounding) {
  constexpr int64_t kInputs = 64, kRows = 24;
  Rng rng(5);
  std::vector<float> x(300 * kInputs), first(kRows * kInputs), second(kRows * kInputs);
  for (size_t i = 0; i < x.size(); ++i) {
    const auto channel = i % kInputs;
    x[i] = channel == 7 ? 0 : roughly_normal(rng) * (channel % 9 == 0 ? 20.0f : 0.5f);
  }
  for (float& value : first) value = roughly_normal(rng);
  for (float& value : second) value = roughly_normal(rng);
  const Factor factor = factor_of(on_device(x, 300, kInputs));
  const Tensor a = on_device(first, kRows, kInputs), b = on_device(second, kRows, kInputs);
  const SampledLinear linears[] = {{.rows = a, .rows_each = 3, .fit = fit(4, 32)},
                                   {.rows = b, .fit = fit(3, 16)}};
  std::vector<int32_t> own(kInputs);
  for (size_t i = 0; i < own.size(); ++i) own[i] = static_cast<int32_t>(i);
  const ChannelScales scales = search_awq_scales(*backend_, {factor, linears, own});
  ASSERT_EQ(scales.factors.size(), own.size());
  EXPECT_EQ(scales.factors[7], 1);
  EXPECT_LT(scales.loss, 0.8 * scales.plain_loss);

  // The same from its definition: the errors of the scaled weight against the scaled inputs'
  // moments.
  double expected = 0;
  for (const SampledLinear& linear : linears) {
    std::vector<float> scaled_x = x;
    for (size_t i = 0; i < x.size(); ++i) scaled_x[i] /= scales.factors[i % kInputs];
    const Factor scaled = factor_of(on_device(scaled_x, 300, kInputs));
    const Tensor weight = backend_->allocate(kRows, kInputs, DType::f32);
    Diagonal(*backend_, scales.factors).multiply(*backend_, linear.rows, weight);
    const SolveResult rounded = solve_rtn(*backend_, weight, nullptr, {.fit = linear.fit});
    expected +=
        linear.rows_each * layer_error(*backend_, weight, rounded.matrix.view(), scaled).error;
  }
  EXPECT_NEAR(scales.loss / expected, 1, 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Backends, Awq, testing::ValuesIn(backend_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone

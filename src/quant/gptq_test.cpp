// solve_gptq and solve_rtn on matrices small enough to follow by hand (docs/methods.md §3 to §5
// show the same numbers), on every backend.
#include "quant/gptq.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/backend_fixture.h"
#include "quant/published_cases.h"
#include "quant/rtn.h"

namespace halftone {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// docs/methods.md §3: three inputs, three tokens, two outputs, grid −4 … 3 in steps of 1.
constexpr float kTokens[] = {1.5f, 0.75f, 3, 3, 1.5f, 0, 0, 3, 0};
constexpr float kWeights[] = {1.3f, 0.6f, -3.5f, -3.5f, 1.45f, 0.7f};

class Gptq : public BackendFixture {
 protected:
  Tensor on_device(const float* values, int64_t rows, int64_t cols) {
    Tensor tensor = backend_->allocate(rows, cols, DType::f32);
    backend_->upload({values, rows, cols, cols, DType::f32, Place::host}, tensor);
    return tensor;
  }
  Factor factor_of(ConstView tokens, ColumnOrder order, double damping) {
    Hessian hessian(*backend_, tokens.cols);
    hessian.accumulate(tokens);
    return Factor::compute(*backend_, std::move(hessian), order, damping);
  }
  QuantizedMatrix host(const SolveResult& result) { return result.matrix.download(*backend_); }
  static SolverOptions options(int bits, int64_t group_size) {
    SolverOptions options;
    options.fit.grid = {bits, group_size, true, ScaleStore::f16};
    options.fit.search = ScaleSearch::minmax;
    return options;
  }
};

TEST_P(Gptq, WorkedExample) {
  const Tensor tokens = on_device(kTokens, 3, 3), weight = on_device(kWeights, 2, 3);
  const Factor factor = factor_of(tokens, ColumnOrder::activation, 0);
  EXPECT_THAT(factor.order, ElementsAre(2, 0, 1));
  const SolveResult gptq = solve_gptq(*backend_, weight, &factor, options(3, -1));
  EXPECT_THAT(host(gptq).scales, ElementsAre(1, 1));
  EXPECT_THAT(host(gptq).zeros, ElementsAre(4, 4));
  EXPECT_THAT(host(gptq).codes, ElementsAre(4 + 1, 4 + 1, 4 - 3, 4 - 3, 4 + 1, 4 + 1));
  EXPECT_NEAR(gptq.report.relative_error.value(), 5.0521875 / 122.9146875, 1e-7);

  const SolveResult rtn = solve_rtn(*backend_, weight, &factor, options(3, -1));
  EXPECT_THAT(host(rtn).codes, ElementsAre(4 + 1, 4 + 1, 4 - 4, 4 - 4, 4 + 1, 4 + 1));
  EXPECT_NEAR(rtn.report.relative_error.value(), 7.2271875 / 122.9146875, 1e-7);
}

// docs/methods.md §4: scales belong to groups of the original columns, whatever the order.
TEST_P(Gptq, StaticGroupsKeepTheirScales) {
  const float tokens[] = {1, 0, 0, 0, 0, 3, 0, 0, 0, 0, 2, 0, 0, 0, 0, 4};
  const float weights[] = {7.5f, 1.2f, 0.75f, 0.12f};
  const Tensor x = on_device(tokens, 4, 4), weight = on_device(weights, 1, 4);
  const Factor factor = factor_of(x, ColumnOrder::activation, 0.01);
  EXPECT_THAT(factor.order, ElementsAre(0, 2, 1, 3));
  const SolveResult result = solve_gptq(*backend_, weight, &factor, options(4, 2));
  EXPECT_THAT(host(result).group_of, IsEmpty());
  EXPECT_FLOAT_EQ(host(result).scales[0], 1);
  EXPECT_NEAR(host(result).scales[1], 0.1, 1e-4);
  EXPECT_THAT(host(result).codes, ElementsAre(15, 9, 15, 9));
}

// Without correlations there is nothing to feed back: the codes of rounding, in either order.
TEST_P(Gptq, IndependentInputsAreRounded) {
  const float tokens[] = {1, 0, 0, 0, 2, 0, 0, 0, 3};
  const Tensor x = on_device(tokens, 3, 3), weight = on_device(kWeights, 2, 3);
  for (const ColumnOrder order : {ColumnOrder::activation, ColumnOrder::none}) {
    const Factor factor = factor_of(x, order, 0.01);
    const SolveResult gptq = solve_gptq(*backend_, weight, &factor, options(3, -1));
    const SolveResult rtn = solve_rtn(*backend_, weight, &factor, options(3, -1));
    EXPECT_EQ(host(gptq), host(rtn));
    EXPECT_NEAR(gptq.report.relative_error.value(), rtn.report.relative_error.value(), 1e-6);
  }
}

// An input that calibration never moved: its weights become 0, and count neither for the scale nor
// for the error.
TEST_P(Gptq, DeadColumnsBecomeZero) {
  const float tokens[] = {1, 0, 0.5f, 1, 0, -1};
  const float weights[] = {3.5f, 100, 1.2f};
  const Tensor x = on_device(tokens, 2, 3), weight = on_device(weights, 1, 3);
  const Factor factor = factor_of(x, ColumnOrder::activation, 0.01);
  EXPECT_THAT(factor.dead, ElementsAre(1));
  const SolveResult result = solve_gptq(*backend_, weight, &factor, options(3, -1));
  EXPECT_EQ(result.report.dead_columns, 1);
  EXPECT_THAT(host(result).scales, ElementsAre(1));
  EXPECT_EQ(host(result).value(0, 1), 0);
  EXPECT_LT(result.report.relative_error.value(), 0.05);
}

// More rows than one panel holds: every row comes out as it would alone.
TEST_P(Gptq, PanelsDoNotShow) {
  const int64_t rows = 4100, cols = 8;
  Rng rng(3);
  std::vector<float> values(static_cast<size_t>(rows * cols)), inputs(32 * 8);
  for (float& v : values) v = static_cast<float>(check_gptq::normal(rng));
  for (float& v : inputs) v = static_cast<float>(check_gptq::normal(rng) + 1);
  const Tensor x = on_device(inputs.data(), 32, cols),
               weight = on_device(values.data(), rows, cols);
  const Factor factor = factor_of(x, ColumnOrder::activation, 0.01);
  const QuantizedMatrix all = host(solve_gptq(*backend_, weight, &factor, options(4, 4)));
  const QuantizedMatrix last =
      host(solve_gptq(*backend_, weight.view().rows_of(4090, rows), &factor, options(4, 4)));
  EXPECT_TRUE(std::equal(last.codes.begin(), last.codes.end(), all.codes.begin() + 4090 * cols));
  EXPECT_TRUE(std::equal(last.scales.begin(), last.scales.end(), all.scales.begin() + 4090 * 2));
}

TEST_P(Gptq, FallsBackWithoutHessian) {
  const Tensor weight = on_device(kWeights, 2, 3);
  const SolveResult rtn = solve_rtn(*backend_, weight, nullptr, options(3, -1));
  const SolveResult none = solve_gptq(*backend_, weight, nullptr, options(3, -1));
  EXPECT_EQ(host(none), host(rtn));
  EXPECT_EQ(none.report.note, "fell back to rtn: no Hessian");

  const float overflowing[] = {1, 1e30f, 1};
  const Factor factor = factor_of(on_device(overflowing, 1, 3), ColumnOrder::activation, 0.01);
  EXPECT_FALSE(factor.usable());
  const SolveResult result = solve_gptq(*backend_, weight, &factor, options(3, -1));
  EXPECT_EQ(host(result), host(rtn));
  EXPECT_EQ(result.report.note, "fell back to rtn: its activations overflowed in calibration");
}

// All but no damping on a Hessian that is all but singular, with four levels: clamped errors run
// away.
TEST_P(Gptq, FallsBackWhenFeedbackRunsAway) {
  const check_gptq::Case c{.inputs = "condition 1e8",
                           .grid = {2, -1, false, ScaleStore::f16},
                           .search = ScaleSearch::minmax,
                           .order = ColumnOrder::none,
                           .damping = 1e-6,
                           .rows = 8,
                           .cols = 66};
  const check_gptq::Outcome outcome = check_gptq::run_case(*backend_, c);
  EXPECT_THAT(outcome.report.note, HasSubstr("fell back to rtn: GPTQ's error"));
  EXPECT_LT(outcome.report.relative_error.value(), 0.5 * outcome.published_error);
  EXPECT_NEAR(outcome.report.relative_error.value() / outcome.relative_error, 1, 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Backends, Gptq, testing::ValuesIn(backend_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone

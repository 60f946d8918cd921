// Hessians and their factors, by hand (docs/methods.md §3, §5 and §6 show the same numbers) and
// where they break, on every backend.
#include "quant/factor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "backend/backend_fixture.h"
#include "backend/test_device.h"
#include "quant/gptq.h"
#include "quant/quadratic_form.h"

namespace halftone {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;

class FactorTest : public BackendFixture {
 protected:
  Hessian hessian_of(const std::vector<float>& x, int64_t inputs) {
    const auto tokens = static_cast<int64_t>(x.size()) / inputs;
    Tensor device = backend_->allocate(tokens, inputs, DType::f32);
    backend_->upload({x.data(), tokens, inputs, inputs, DType::f32, Place::host}, device);
    Hessian hessian(*backend_, inputs);
    hessian.accumulate(device);
    return hessian;
  }
  float at(ConstView device, int64_t row, int64_t col) {
    float value = 0;
    backend_->download(device.rows_of(row, row + 1).cols_of(col, col + 1),
                       View{&value, 1, 1, 1, DType::f32, Place::host});
    return value;
  }
};

TEST_P(FactorTest, WorkedExample) {
  const std::vector<float> x = {1.5f, 0.75f, 3, 3, 1.5f, 0, 0, 3, 0};
  Hessian hessian = hessian_of(x, 3);
  EXPECT_EQ(hessian.tokens(), 3);
  EXPECT_THAT(hessian.diagonal(), ElementsAre(11.25f, 11.8125f, 9));
  const Factor factor = Factor::compute(*backend_, std::move(hessian), ColumnOrder::activation, 0);
  EXPECT_THAT(factor.order, ElementsAre(2, 0, 1));
  EXPECT_THAT(factor.diagonal, ElementsAre(7.5, 7.875, 6));
  EXPECT_THAT(factor.pivots,
              ElementsAre(DoubleNear(6, 1e-6), DoubleNear(6, 1e-6), DoubleNear(6, 1e-6)));
  EXPECT_FLOAT_EQ(at(factor.lower, 1, 0), 0.5f);
  EXPECT_FLOAT_EQ(at(factor.lower, 2, 0), 0.25f);
  EXPECT_FLOAT_EQ(at(factor.lower, 2, 1), 0.5f);
  EXPECT_EQ(factor.note, "");

  const Factor first_to_last = Factor::compute(*backend_, hessian_of(x, 3), ColumnOrder::none, 0);
  EXPECT_THAT(first_to_last.order, ElementsAre(2, 1, 0));
}

// Two inputs that are always equal: H = [[2, 2], [2, 2]] is singular, damping makes it definite.
TEST_P(FactorTest, DampingMakesItDefinite) {
  const auto factor_of = [&](double damping, int64_t exact_inputs = 0) {
    return Factor::compute(*backend_, hessian_of({1, 1, 1, 1}, 2), ColumnOrder::activation, damping,
                           exact_inputs);
  };
  const Factor damped = factor_of(0.01);
  EXPECT_NEAR(damped.lambda, 0.02, 1e-9);
  EXPECT_NEAR(at(damped.lower, 1, 0), 2 / 2.02, 1e-6);
  EXPECT_NEAR(damped.pivots[1], 2.02 - 4 / 2.02, 1e-5);
  EXPECT_EQ(damped.note, "");

  const Factor raised = factor_of(0);
  EXPECT_DOUBLE_EQ(raised.damping, 0.01);
  EXPECT_EQ(raised.note, "factored in f64; damping raised to 0.01");

  // Little damping: the second pivot keeps 4e-6 of its diagonal, too little for f32.
  const Factor exact = factor_of(2e-6);
  EXPECT_EQ(exact.note, "factored in f64");
  EXPECT_NEAR(exact.pivots[1] / (2.000004 - 4 / 2.000004), 1, 1e-6);

  // Small Hessians are exact from the start, which is worth no note.
  EXPECT_EQ(factor_of(2e-6, 2).note, "");
  EXPECT_EQ(factor_of(2e-6, 2).pivots, exact.pivots);
  EXPECT_EQ(factor_of(0, 2).note, "damping raised to 0.01");
}

// A dead column counts as 1 in the mean, as published; equal columns keep their order.
TEST_P(FactorTest, DeadColumnsAndTies) {
  const Factor factor = Factor::compute(*backend_, hessian_of({1, 0, 1, 0, 1, 0, -1, 0}, 4),
                                        ColumnOrder::activation, 0.01);
  EXPECT_THAT(factor.dead, ElementsAre(1, 3));
  EXPECT_THAT(factor.order, ElementsAre(3, 1, 2, 0));  // diagonal 2, 2 before 1, 1; reversed
  EXPECT_NEAR(factor.lambda, 0.01 * (2 + 1 + 2 + 1) / 4, 1e-9);
  EXPECT_NEAR(factor.pivots[0], 1.015, 1e-6);
}

// A device of its own factors in f64 while the Hessian waits in the host's memory: the same factor.
TEST(Factor, WhatWaitsOnTheHostIsFactoredAllTheSame) {
  // Two inputs that are almost the same, a dead one, and one that is larger.
  const std::vector<float> x = {1, 1, 0, 5, 2, 2, 0, 1, -1, -1.001f, 0, 3, 3, 3, 0, -2};
  const auto factor_on = [&](Backend& backend, double damping) {
    const Tensor device = backend.allocate(4, 4, DType::f32);
    backend.upload({x.data(), 4, 4, 4, DType::f32, Place::host}, device);
    Hessian hessian(backend, 4);
    hessian.accumulate(device);
    return Factor::compute(backend, std::move(hessian), ColumnOrder::activation, damping, 0);
  };
  for (const double damping : {0.0, 1e-7}) {
    const auto oracle = make_backend("ref", {});
    TestDevice device;
    const Factor expected = factor_on(*oracle, damping), got = factor_on(device, damping);
    EXPECT_THAT(expected.note, HasSubstr("factored in f64"));
    EXPECT_EQ(got.note, expected.note);
    EXPECT_EQ(got.pivots, expected.pivots);
    EXPECT_EQ(got.order, expected.order);
    const Tensor lower(device.host_allocator(), 4, 4, DType::f32);
    device.download(got.lower, lower);
    for (int64_t row = 0; row < 4; ++row)
      for (int64_t col = 0; col < row; ++col)
        EXPECT_EQ(lower.row<float>(row)[col], expected.lower.row<float>(row)[col]);
  }
}

// Twice the same input, which f32 alone has no answer to but more damping.
TEST(FactorWithoutF64, RaisesTheDampingInF32) {
  const float x[] = {1, 1, 1, 1};
  const auto note = [&](bool f64, int64_t exact_inputs) {
    TestDevice device;
    if (!f64) device.lack_f64();
    const Tensor inputs = device.allocate(2, 2, DType::f32);
    device.upload({x, 2, 2, 2, DType::f32, Place::host}, inputs, Queue::compute);
    Hessian hessian(device, 2);
    hessian.accumulate(inputs);
    return Factor::compute(device, std::move(hessian), ColumnOrder::activation, 0, exact_inputs)
        .note;
  };
  EXPECT_THAT(note(true, 0), HasSubstr("factored in f64"));
  EXPECT_EQ(note(false, 0), "damping raised to 0.01");
  EXPECT_EQ(note(false, Factor::kExactInputs), "damping raised to 0.01");
}

TEST_P(FactorTest, SaysWhyItIsNotUsable) {
  const auto note = [&](Hessian hessian) {
    const Factor factor =
        Factor::compute(*backend_, std::move(hessian), ColumnOrder::activation, 0.01);
    EXPECT_FALSE(factor.usable());
    return factor.note;
  };
  EXPECT_THAT(note(Hessian(*backend_, 3)), HasSubstr("no calibration token"));
  EXPECT_THAT(note(hessian_of({0, 0}, 2)), HasSubstr("all zero"));
  Hessian infinite = hessian_of({1e20f, 0}, 2), nan = hessian_of({0, std::nanf("")}, 2);
  EXPECT_FALSE(infinite.finite());
  EXPECT_FALSE(nan.finite());
  EXPECT_THAT(note(std::move(infinite)), HasSubstr("overflowed"));
  EXPECT_THAT(note(std::move(nan)), HasSubstr("overflowed"));
}

// A "Hessian" that no damping makes definite: the sum is overwritten with one.
TEST_P(FactorTest, KeepsTheDiagonalAtLast) {
  Hessian hessian = hessian_of({1, 1, 1, 1}, 2);
  const float indefinite[] = {2, 0, 9, 2};
  const ConstView sum = hessian.sum();
  backend_->upload({indefinite, 2, 2, 2, DType::f32, Place::host},
                   View{const_cast<void*>(sum.data), 2, 2, sum.ld, sum.dtype, sum.place});
  const Factor factor =
      Factor::compute(*backend_, std::move(hessian), ColumnOrder::activation, 0.01);
  EXPECT_TRUE(factor.usable());
  EXPECT_THAT(factor.note, HasSubstr("only the Hessian's diagonal"));
  EXPECT_DOUBLE_EQ(factor.damping, 1);
  EXPECT_EQ(at(factor.lower, 1, 0), 0);
}

// tr(M H Mᵀ) from the factor, without H: (1, 2, −1) of the worked example has 48 whatever the
// damping.
TEST_P(FactorTest, QuadraticFormIsUndamped) {
  for (const double damping : {0.0, 0.01, 0.5}) {
    const Factor factor =
        Factor::compute(*backend_, hessian_of({1.5f, 0.75f, 3, 3, 1.5f, 0, 0, 3, 0}, 3),
                        ColumnOrder::activation, damping);
    const float row[] = {1, 2, -1};
    Tensor original = backend_->allocate(1, 3, DType::f32),
           m = backend_->allocate(1, 3, DType::f32);
    backend_->upload({row, 1, 3, 3, DType::f32, Place::host}, original);
    gather_factored(*backend_, factor, original, m);
    QuadraticForms forms(*backend_, factor, 2);
    forms.add(1, m, original);
    EXPECT_THAT(forms.read(), ElementsAre(0, DoubleNear(48, 1e-4)));
    forms.add(1, m, original);  // as another panel of rows would
    EXPECT_THAT(forms.read(), ElementsAre(0, DoubleNear(96, 2e-4)));
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, FactorTest, testing::ValuesIn(backend_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone

// Linear layers through oneDNN: every way in which the work is cut, against sums in f64.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "backend/cpu/cpu_operations.h"
#include "base/rng.h"

namespace halftone::cpu {
namespace {

Tensor random_matrix(Backend& backend, int64_t rows, int64_t cols, DType dtype, uint64_t seed) {
  Tensor values = backend.allocate(rows, cols, DType::f32);
  Rng rng(seed);
  for (int64_t i = 0; i < rows * cols; ++i)
    values.row<float>(0)[i] = round_to_bf16(static_cast<float>(rng.uniform() - 0.5));
  if (dtype == DType::f32) return values;
  Tensor converted = backend.allocate(rows, cols, dtype);
  backend.copy(values, converted);
  return converted;
}

Tensor as_floats(Backend& backend, ConstView x) {
  Tensor values = backend.allocate(x.rows, x.cols, DType::f32);
  backend.copy(x, values);
  return values;
}

TEST(Linear, WorkedExample) {
  CpuBackend backend({.threads = 1});
  const float w[] = {1, 2, 3, 4, 5, 6};  // (3, 2)
  const float bias[] = {10, 20, 30};
  float x[] = {1, -1}, y[] = {0.5f, 0.5f, 0.5f};
  const auto weight = backend.prepare({w, 3, 2, 2, DType::f32}, DType::f32);
  backend.linear({x, 1, 2, 2}, *weight, {bias, 1, 3, 3}, {y, 1, 3, 3}, false);
  EXPECT_EQ(y[0], 9);
  EXPECT_EQ(y[1], 19);
  EXPECT_EQ(y[2], 29);
  backend.linear({x, 1, 2, 2}, *weight, {}, {y, 1, 3, 3}, true);
  EXPECT_EQ(y[2], 28);
}

struct Shape {
  int64_t rows, inputs, outputs;
};

// Sizes with one slice and with many, few rows and many, blocks with a remainder.
constexpr Shape kShapes[] = {{1, 576, 1536}, {3, 576, 1537}, {64, 1100, 600},
                             {65, 40, 70},   {300, 33, 17},  {1100, 64, 130}};

class LinearTypes : public testing::TestWithParam<DType> {};

TEST_P(LinearTypes, EqualSumsInDouble) {
  CpuBackend backend({.threads = 2});
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message()
                 << shape.rows << " x " << shape.inputs << " x " << shape.outputs);
    const Tensor x = random_matrix(backend, shape.rows, shape.inputs, DType::f32, 1);
    const Tensor w = random_matrix(backend, shape.outputs, shape.inputs, DType::f32, 2);
    const Tensor bias = random_matrix(backend, 1, shape.outputs, DType::f32, 3);
    const auto weight = backend.prepare(w, GetParam());
    const Tensor y = backend.allocate(shape.rows, shape.outputs, DType::f32);
    backend.fill(y, 0.25f);
    backend.linear(x, *weight, bias, y, true);
    for (int64_t row = 0; row < shape.rows; row += 13) {
      for (int64_t out = 0; out < shape.outputs; ++out) {
        double sum = 0.25 + static_cast<double>(bias.row<float>(0)[out]);
        for (int64_t i = 0; i < shape.inputs; ++i)
          sum += static_cast<double>(x.row<float>(row)[i]) * w.row<float>(out)[i];
        ASSERT_NEAR(y.row<float>(row)[out], sum, 2e-5) << row << ", " << out;
      }
    }
  }
}

TEST_P(LinearTypes, StridedViewsGiveTheSameBytes) {
  CpuBackend backend({.threads = 1});
  const Tensor x = random_matrix(backend, 70, 96, GetParam(), 1);
  const auto weight = backend.prepare(random_matrix(backend, 80, 96, DType::f32, 2), GetParam());
  const Tensor y = backend.allocate(70, 80, DType::bf16);
  backend.linear(x, *weight, {}, y, false);
  const Tensor wide_x = backend.allocate(70, 100, GetParam());
  const Tensor wide_y = backend.allocate(70, 240, DType::bf16);
  backend.copy(x, wide_x.view().cols_of(4, 100));
  backend.fill(wide_y, 7);
  backend.linear(wide_x.view().cols_of(4, 100), *weight, {}, wide_y.view().cols_of(80, 160), false);
  const Tensor expected = as_floats(backend, y), actual = as_floats(backend, wide_y);
  for (int64_t row = 0; row < 70; ++row) {
    EXPECT_EQ(actual.row<float>(row)[79], 7);
    EXPECT_EQ(actual.row<float>(row)[160], 7);
    for (int64_t i = 0; i < 80; ++i)
      ASSERT_EQ(actual.row<float>(row)[80 + i], expected.row<float>(row)[i]);
  }
}

TEST_P(LinearTypes, TheNumberOfThreadsChangesNoByte) {
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 5}) {
    CpuBackend backend({.threads = threads});
    const Tensor x = random_matrix(backend, 1500, 130, GetParam(), 1);
    const auto weight = backend.prepare(random_matrix(backend, 99, 130, DType::f32, 2), GetParam());
    const Tensor y = backend.allocate(1500, 99, DType::f32);
    backend.linear(x, *weight, {}, y, false);
    results.emplace_back(y.row<float>(0), y.row<float>(0) + 1500 * 99);
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

INSTANTIATE_TEST_SUITE_P(Types, LinearTypes, testing::Values(DType::f32, DType::bf16),
                         [](const auto& test) { return std::string(name_of(test.param)); });

TEST(CpuBackend, SaysWhatItIs) {
  const CpuBackend backend({.threads = 3});
  EXPECT_EQ(backend.info().backend, "cpu");
  EXPECT_EQ(backend.info().threads, 3);
  EXPECT_NE(backend.info().device.find("3 threads"), std::string::npos);
  const std::string& isa = backend.info().instructions;
  EXPECT_EQ(backend.info().native_bf16, isa == "amx_bf16" || isa == "avx512_bf16");
}

}  // namespace
}  // namespace halftone::cpu

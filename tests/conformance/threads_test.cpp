// The same bytes whatever the number of threads.
#include <cmath>
#include <numeric>

#include "conformance/conformance.h"

namespace halftone::conformance {
namespace {

class Threads : public Conformance {
 protected:
  // Runs `body` on backends with 1, 2 and 5 threads.
  void expect_same_bytes(const Body& body) {
    const auto one = make(GetParam(), 1);
    const Matrix expected = body(*one);
    for (int threads : {2, 5}) {
      const auto several = make(GetParam(), threads);
      EXPECT_EQ(expected.values, body(*several).values) << threads << " threads";
    }
  }
};

TEST_P(Threads, ForwardOperations) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    expect_same_bytes([&](Backend& backend) {
      const Operand x(backend, random_matrix(301, 192, 1), dtype, Layout::dense);
      const Matrix w = random_matrix(192, 192, 2);
      const auto weight = backend.prepare(ConstView{w.values.data(), 192, 192, 192}, dtype);
      const Operand y(backend, 301, 192, dtype, Layout::dense);
      backend.linear(x, *weight, {}, y);
      const std::vector<Sequence> sequences = {
          {.q_count = 200, .kv_count = 200},
          {.q_begin = 200, .q_count = 101, .kv_begin = 200, .kv_count = 101}};
      const Operand out(backend, 301, 192, DType::f32, Layout::dense);
      backend.attention(y, x, x, sequences,
                        {.heads = 3, .kv_heads = 3, .head_dim = 64, .scale = 0.1f}, out);
      return out.fetch();
    });
  }
}

TEST_P(Threads, Score) {
  expect_same_bytes([](Backend& backend) {
    const Operand logits(backend, random_matrix(37, 5003, 3), DType::f32, Layout::dense);
    const Operand base(backend, random_matrix(37, 5003, 4), DType::f32, Layout::dense);
    const Operand scores(backend, 37, kScoreColumns, DType::f32, Layout::dense);
    backend.score(logits, base, std::vector<int32_t>(37, 11), scores);
    return scores.fetch();
  });
}

TEST_P(Threads, HessianAndFactor) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    expect_same_bytes([&](Backend& backend) {
      const Operand x(backend, random_matrix(777, 451, 5), dtype, Layout::dense);
      const Operand h(backend, 451, 451, DType::f32, Layout::dense);
      backend.accumulate_hessian(x, {}, h);
      std::vector<int32_t> order(451);
      std::iota(order.rbegin(), order.rend(), 0);
      const Operand a(backend, 451, 451, DType::f32, Layout::dense);
      backend.gather_symmetric(h, order, 1, 7, a);
      const Tensor status = backend.allocate(1, 1, DType::i32);
      backend.factor_ldl(a, status);
      return lower_triangle(a.fetch());
    });
  }
}

TEST_P(Threads, GridAndSolve) {
  expect_same_bytes([](Backend& backend) {
    constexpr int64_t kRows = 300, kCols = 256;
    const Operand w(backend, random_matrix(kRows, kCols, 6), DType::f32, Layout::dense);
    Matrix lower = random_matrix(kCols, kCols, 7);
    for (float& value : lower.values) value *= 0.05f;
    const Operand factor(backend, lower, DType::f32, Layout::dense);
    const Operand target(backend, random_matrix(kRows, kCols, 6), DType::f32, Layout::dense);
    const Operand scales(backend, kRows, 4, DType::f32, Layout::dense);
    const Operand zeros(backend, kRows, 4, DType::u8, Layout::dense);
    const Operand codes(backend, kRows, kCols, DType::u8, Layout::dense);
    const Operand errors(backend, kRows, 128, DType::f32, Layout::dense);
    const Grid grid{.group_size = 64};
    backend.fit_grid(w, {.grid = grid}, {}, scales, zeros);
    std::vector<int32_t> group_of(kCols);
    for (size_t col = 0; col < group_of.size(); ++col)
      group_of[col] = static_cast<int32_t>(col / 64);
    backend.quantize_columns(w, target, factor, {.begin = 128, .end = 256, .group_of = group_of},
                             grid, scales, zeros, codes, errors);
    backend.multiply_add(errors, factor.view().rows_of(128, 256).cols_of(0, 128),
                         target.view().cols_of(0, 128));
    Matrix result = target.fetch();
    const Matrix chosen = codes.fetch();
    for (size_t i = 0; i < result.values.size(); ++i) result.values[i] += chosen.values[i];
    return result;
  });
}

TEST_P(Threads, CodesAndSquares) {
  expect_same_bytes([](Backend& backend) {
    const Operand w(backend, random_matrix(301, 451, 8), DType::f32, Layout::dense);
    const Operand scales(backend, Matrix(301, 1, 0.25f), DType::f32, Layout::dense);
    const Operand zeros(backend, Matrix(301, 1, 8), DType::u8, Layout::dense);
    const Operand codes(backend, 301, 451, DType::u8, Layout::dense);
    const std::vector<int32_t> group_of(451);
    const CodeView q{codes, scales, zeros, group_of};
    backend.encode(w, {}, q);
    backend.code_errors(w, q, w);
    const Tensor sum = backend.allocate(1, 1, DType::f64);
    backend.fill(sum, 0);
    backend.add_squares(w, {}, sum);
    double squares = 0;
    backend.download(sum, {&squares, 1, 1, 1, DType::f64});
    Matrix result = w.fetch();
    result.at(0, 0) = static_cast<float>(squares);  // all of the f64's bits
    result.at(0, 1) = static_cast<float>(squares - static_cast<double>(result.at(0, 0)));
    return result;
  });
}

INSTANTIATE_TEST_SUITE_P(Backends, Threads, testing::ValuesIn(tested_backends()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone::conformance

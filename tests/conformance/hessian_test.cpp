// The quantizer's matrices: Hessians, their order and factor, products.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/rng.h"
#include "conformance/conformance.h"

namespace halftone::conformance {
namespace {

constexpr Layout kLayouts[] = {Layout::dense, Layout::strided};

class Hessians : public Conformance {
 protected:
  static std::vector<int32_t> random_order(int64_t n, uint64_t seed) {
    std::vector<int32_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    Rng rng(seed);
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
    return order;
  }

  // X Xᵀ / n + 0.1 · 1, its condition number a few hundred at most.
  static Matrix positive_definite(int64_t n, uint64_t seed) {
    const Matrix x = random_matrix(n, n + 3, seed);
    Matrix a(n, n);
    for (int64_t row = 0; row < n; ++row) {
      for (int64_t col = 0; col <= row; ++col) {
        double sum = row == col ? 0.1 * static_cast<double>(n) : 0;
        for (int64_t i = 0; i < x.cols; ++i)
          sum += static_cast<double>(x.at(row, i)) * x.at(col, i);
        a.at(row, col) = a.at(col, row) = static_cast<float>(sum / static_cast<double>(n));
      }
    }
    return a;
  }

  static int32_t factor(Backend& backend, View a) {
    const Tensor status = backend.allocate(1, 1, DType::i32);
    backend.factor_ldl(a, status);
    int32_t word = -1;
    backend.download(status, {&word, 1, 1, 1, DType::i32});
    return word;
  }
};

struct HessianSize {
  int64_t tokens, inputs;
};
constexpr HessianSize kSizes[] = {{1, 5}, {33, 67}, {515, 130}, {64, 300}, {700, 257}, {65, 1601}};

TEST_P(Hessians, Accumulate) {
  for (const HessianSize& size : kSizes) {
    for (DType dtype : {DType::f32, DType::bf16}) {
      for (bool weighted : {false, true}) {
        for (Layout layout : kLayouts) {
          SCOPED_TRACE(testing::Message()
                       << size.tokens << " tokens, " << size.inputs << " inputs, " << name_of(dtype)
                       << (weighted ? ", weighted" : ""));
          compare(
              [&](Backend& backend) {
                const Operand x(backend, random_matrix(size.tokens, size.inputs, 1), dtype, layout);
                Matrix row_weights = random_matrix(1, size.tokens, 2);
                for (float& value : row_weights.values) value = std::abs(value);
                const Operand weights(backend, row_weights, DType::f32, Layout::dense);
                const Operand h(backend, random_matrix(size.inputs, size.inputs, 3), DType::f32,
                                layout);
                for (int i = 0; i < 2; ++i)
                  backend.accumulate_hessian(x, weighted ? weights.view() : View{}, h);
                return lower_triangle(h.fetch());
              },
              // √weight · x may be rounded to bf16 again, on both sides.
              weighted && dtype == DType::bf16 ? Tolerance{.relative = 0, .absolute = 6e-3}
                                               // A sum of hundreds of squares in f32.
                                               : Tolerance{.relative = 0, .absolute = 1e-5});
        }
      }
    }
  }
}

TEST_P(Hessians, GatherSymmetric) {
  for (int64_t n : {1, 5, 67, 130, 701}) {
    for (DType out : {DType::f32, DType::f64}) {
      for (Layout layout : kLayouts) {
        compare(
            [&](Backend& backend) {
              Matrix source = random_matrix(n, n, 4);
              source.at(n / 2, n / 2) = 0;  // a dead input
              const Operand h(backend, source, DType::f32, layout);
              const Operand result(backend, n, n, out, layout);
              backend.gather_symmetric(h, random_order(n, 5), 3.0, 0.125, result);
              return lower_triangle(result.fetch());
            },
            kExact);
      }
    }
  }
}

TEST_P(Hessians, GatherColumns) {
  for (Layout layout : kLayouts) {
    compare(
        [&](Backend& backend) {
          const Operand w(backend, random_matrix(19, 67, 6), DType::f32, layout);
          const Operand out(backend, 19, 67, DType::f32, layout);
          backend.gather_columns(w, random_order(67, 7), out);
          return out.fetch();
        },
        kExact);
  }
}

TEST_P(Hessians, GatherColumnsOfLongRows) {
  const int64_t cols = 60001;
  compare(
      [&](Backend& backend) {
        const Operand w(backend, random_matrix(3, cols, 14), DType::f32, Layout::dense);
        const Operand out(backend, 3, cols, DType::f32, Layout::strided);
        backend.gather_columns(w, random_order(cols, 15), out);
        return out.fetch();
      },
      kExact);
}

TEST_P(Hessians, GatherColumnsOfCodes) {
  for (Layout layout : kLayouts) {
    compare(
        [&](Backend& backend) {
          Matrix source(19, 67);
          for (size_t i = 0; i < source.values.size(); ++i)
            source.values[i] = static_cast<float>(i * 7 % 256);
          const Operand codes(backend, source, DType::u8, layout);
          const Operand out(backend, 19, 67, DType::u8, layout);
          backend.gather_columns(codes, random_order(67, 7), out);
          return out.fetch();
        },
        kExact);
  }
}

// The first block whole, the second short, nothing of what is on the diagonal or above it.
TEST_P(Hessians, DiagonalBlocks) {
  for (const auto& [n, width] : {std::pair{1, 1}, {5, 3}, {128, 128}, {67, 16}, {300, 128}}) {
    for (Layout layout : kLayouts) {
      compare(
          [&](Backend& backend) {
            Matrix source = random_matrix(n, n, 12);
            for (int64_t row = 0; row < n; ++row) source.at(row, row) = NAN;
            const Operand a(backend, source, DType::f32, layout);
            const Operand blocks(backend, n, width, DType::f32, layout);
            backend.copy_diagonal_blocks(a, blocks);
            return blocks.fetch();
          },
          kExact);
    }
  }
}

TEST_P(Hessians, DiagonalBlocksByHand) {
  Matrix source(3, 3);
  source.values = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  const Operand a(*tested_, source, DType::f32, Layout::dense);
  const Operand blocks(*tested_, Matrix(3, 2, 77), DType::f32, Layout::dense);
  tested_->copy_diagonal_blocks(a, blocks);
  EXPECT_EQ(blocks.fetch().values, (std::vector<float>{0, 0, 4, 0, 0, 0}));
}

TEST_P(Hessians, AddSquares) {
  struct Size {
    int64_t rows, cols;
  };
  for (const Size& size : {Size{1, 1}, Size{7, 63}, Size{130, 64}, Size{5000, 131}}) {
    for (bool weighted : {false, true}) {
      for (Layout layout : kLayouts) {
        compare(
            [&](Backend& backend) {
              const Operand m(backend, random_matrix(size.rows, size.cols, 13), DType::f32, layout);
              std::vector<double> weights;
              for (int64_t i = 0; i < size.cols && weighted; ++i)
                weights.push_back(1.0 / static_cast<double>(i + 1));
              const Operand sum(backend, Matrix(1, 1, 0.5f), DType::f64, layout);
              for (int i = 0; i < 2; ++i) backend.add_squares(m, weights, sum);
              return sum.fetch();
            },
            Tolerance{.relative = 1e-7, .absolute = 0});  // read in f32, summed in f64
      }
    }
  }
}

// 3² + 2 · (1e-4)² is not seen in f32, nor is 1e20² in its range.
TEST_P(Hessians, AddsSquaresInF64) {
  const auto squares = [&](const std::vector<float>& row, const std::vector<double>& weights) {
    const auto cols = static_cast<int64_t>(row.size());
    const Tensor m = tested_->allocate(1, cols, DType::f32);
    tested_->upload({row.data(), 1, cols, cols}, m);
    const Tensor sum = tested_->allocate(1, 1, DType::f64);
    tested_->fill(sum, 0);
    tested_->add_squares(m, weights, sum);
    double value = 0;
    tested_->download(sum, {&value, 1, 1, 1, DType::f64});
    return value;
  };
  EXPECT_NEAR(squares({3, 1e-4f}, {1, 2}), 9 + 2e-8, 1e-14);
  EXPECT_NEAR(squares({1e20f}, {}) / 1e40, 1, 1e-7);
  EXPECT_TRUE(std::isnan(squares({1, NAN}, {})));
}

TEST_P(Hessians, FactorsIntoLdl) {
  for (int64_t n : {1, 5, 64, 193, 421}) {
    for (DType dtype : {DType::f32, DType::f64}) {
      for (Layout layout : kLayouts) {
        SCOPED_TRACE(testing::Message() << n << ", " << name_of(dtype));
        const Matrix source = positive_definite(n, 8);
        compare(
            [&](Backend& backend) {
              const Operand a(backend, lower_triangle(source), dtype, layout);
              EXPECT_EQ(factor(backend, a), 0);
              return lower_triangle(a.fetch());
            },
            dtype == DType::f64 ? Tolerance{.relative = 1e-6, .absolute = 1e-7}
                                : Tolerance{.relative = 0, .absolute = 2e-5});
      }
    }
  }
}

// Large enough for what backends do with blocks of a thousand columns; the last one is uneven. The
// diagonal is of very different sizes, as outlier inputs have it.
TEST_P(Hessians, FactorsLargeMatrices) {
  const int64_t n = 1157;
  Matrix source = positive_definite(n, 16);
  for (int64_t row = 0; row < n; ++row)
    for (int64_t col = 0; col < n; ++col)
      source.at(row, col) *= (row % 7 == 3 ? 300.0f : 0.7f) * (col % 7 == 3 ? 300.0f : 0.7f);
  compare(
      [&](Backend& backend) {
        const Operand a(backend, lower_triangle(source), DType::f32, Layout::strided);
        EXPECT_EQ(factor(backend, a), 0);
        Matrix result = lower_triangle(a.fetch());
        for (int64_t row = 0; row < n; ++row)  // to comparable sizes again
          for (int64_t col = 0; col <= row; ++col)
            result.at(row, col) *= row == col     ? (row % 7 == 3 ? 1 / 9e4f : 2)
                                   : row % 7 == 3 ? (col % 7 == 3 ? 1 : 1 / 400.0f)
                                   : col % 7 == 3 ? 400
                                                  : 1;
        return result;
      },
      Tolerance{.relative = 0, .absolute = 2e-5});
}

TEST_P(Hessians, SaysWhichPivotFailsOfLargeMatrices) {
  const int64_t n = 1157;
  for (int64_t bad : {0, 300, 1023, 1156}) {
    for (float value : {-1.0f, 0.0f, NAN, INFINITY}) {
      Matrix a(n, n);
      for (int64_t i = 0; i < n; ++i) a.at(i, i) = 1 + 0.01f * static_cast<float>(i);
      a.at(bad, bad) = value;
      if (bad < 1156) a.at(1156, 1156) = -5;
      const Operand operand(*tested_, a, DType::f32, Layout::dense);
      EXPECT_EQ(factor(*tested_, operand), 1 + bad) << value;
    }
  }
}

// The status word names the first pivot that is not positive and finite.
TEST_P(Hessians, SaysWhichPivotFails) {
  const int64_t n = 421;
  for (DType dtype : {DType::f32, DType::f64}) {
    for (int64_t bad : {0, 7, 200, 420}) {
      for (float value : {-1.0f, 0.0f, NAN, INFINITY}) {
        Matrix a(n, n);
        for (int64_t i = 0; i < n; ++i) a.at(i, i) = 1 + 0.01f * static_cast<float>(i);
        a.at(bad, bad) = value;
        if (bad < 420) a.at(420, 420) = -5;  // a later one does not count
        const Operand operand(*tested_, a, dtype, Layout::dense);
        EXPECT_EQ(factor(*tested_, operand), 1 + bad) << value << " in " << name_of(dtype);
        const Operand expected(*reference_, a, dtype, Layout::dense);
        EXPECT_EQ(factor(*reference_, expected), 1 + bad) << value << " in " << name_of(dtype);
      }
    }
  }
}

TEST_P(Hessians, MultiplyAdd) {
  struct Size {
    int64_t m, n, k;
  };
  for (const Size& size : {Size{1, 1, 1}, Size{7, 67, 5}, Size{130, 33, 128}, Size{257, 600, 31},
                           Size{65, 130, 1031}}) {
    for (Products products : {Products::full, Products::coarse}) {
      for (Layout layout : kLayouts) {
        compare(
            [&](Backend& backend) {
              const Operand a(backend, random_matrix(size.m, size.k, 9), DType::f32, layout);
              const Operand b(backend, random_matrix(size.k, size.n, 10), DType::f32, layout);
              const Operand c(backend, random_matrix(size.m, size.n, 11), DType::f32, layout);
              backend.multiply_add(a, b, c, products);
              return c.fetch();
            },
            Tolerance{.relative = 0, .absolute = products == Products::full ? 2e-6 : 2e-3});
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Hessians, testing::ValuesIn(tested_backends()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone::conformance

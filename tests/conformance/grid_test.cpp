// Scales, zeros and codes. Backends may choose differently only where two candidates, or two codes,
// are as good as each other.
#include <algorithm>
#include <cmath>

#include "conformance/conformance.h"

namespace halftone::conformance {
namespace {

struct FittedGrid {
  Matrix scales, zeros;
};

FittedGrid fit(Backend& backend, const Matrix& weights, const GridFit& fit, Layout layout,
               const Matrix& importance = Matrix(0, 0)) {
  const int64_t groups = fit.grid.groups(weights.cols);
  const Operand w(backend, weights, DType::f32, layout);
  const Operand scales(backend, weights.rows, groups, DType::f32, layout);
  const Operand zeros(backend, weights.rows, groups, DType::u8, layout);
  const Operand counts(backend, importance, DType::f32, Layout::dense);
  backend.fit_grid(w, fit, counts, scales, zeros);
  return {scales.fetch(), zeros.fetch()};
}

// A group of a matrix; importance is of the matrix' columns, or empty.
struct GroupOf {
  const Matrix& weights;
  int64_t row = 0, group = 0;
  const Matrix& importance;
};

// Σ importance · |w − ŵ|^power over one group, in f64.
double loss(const GroupOf& of, const GridFit& fit, const FittedGrid& fitted) {
  const auto& [weights, row, group, importance] = of;
  const int64_t width = fit.grid.group_width(weights.cols);
  const double scale = fitted.scales.at(row, group), zero = fitted.zeros.at(row, group);
  double sum = 0;
  for (int64_t col = group * width; col < std::min((group + 1) * width, weights.cols); ++col) {
    const double w = weights.at(row, col);
    const double code = std::clamp(std::nearbyint(w / scale) + zero, 0.0, fit.grid.levels() - 1.0);
    sum += (importance.cols > 0 ? importance.at(0, col) : 1.0) *
           std::pow(std::abs(w - scale * (code - zero)),
                    double{exponent_of(fit, importance.cols > 0)});
  }
  return sum;
}

// Rows of every kind that a matrix may have: ordinary, tiny, huge, one-sided, with outliers, zero.
Matrix varied_weights(int64_t cols) {
  Matrix weights = random_matrix(16, cols, 1);
  const float factors[16] = {0.02f, 1,     1e-3f, 1e-9f, 1e-42f, 1e4f, 1e9f,  1e37f,
                             0.02f, 0.02f, 0.02f, 0.02f, 0.02f,  0,    0.02f, 3};
  for (int64_t row = 0; row < 16; ++row) {
    for (int64_t col = 0; col < cols; ++col) {
      float& w = weights.at(row, col);
      w *= factors[row];
      if (row == 8) w = std::abs(w);
      if (row == 9) w = -std::abs(w);
      if (row == 10 && col % 16 != 3) w = 0;
      if (row == 11 && col % 37 == 5) w *= 50;
      if (row == 12) w = 0.25f;
      if (row == 14) w += 0.1f;
    }
  }
  return weights;
}

class Grids : public Conformance {};

class FittedGrids : public Grids {
 protected:
  void expect_as_good(const GridFit& spec, const Matrix& importance) const {
    const Matrix weights = varied_weights(spec.grid.group_size == 5 ? 33 : 160);
    SCOPED_TRACE(testing::Message() << spec.grid.bits << " bits, groups of " << spec.grid.group_size
                                    << (spec.grid.symmetric ? "" : ", asymmetric") << ", store "
                                    << static_cast<int>(spec.grid.scales));
    const FittedGrid expected = fit(*reference_, weights, spec, Layout::dense, importance);
    const FittedGrid actual = fit(*tested_, weights, spec, Layout::strided, importance);
    for (int64_t row = 0; row < weights.rows; ++row) {
      for (int64_t g = 0; g < expected.scales.cols; ++g) {
        const GroupOf group{weights, row, g, importance};
        EXPECT_LE(loss(group, spec, actual), loss(group, spec, expected) * (1 + 1e-5))
            << "row " << row << ", group " << g << ": scale " << actual.scales.at(row, g)
            << ", expected " << expected.scales.at(row, g);
        EXPECT_EQ(actual.scales.at(row, g), round_to(spec.grid.scales, actual.scales.at(row, g)));
        EXPECT_GT(actual.scales.at(row, g), 0);
      }
    }
  }

  void expect_all_as_good(ScaleSearch search) const {
    for (int bits : {2, 3, 4, 8})
      for (bool symmetric : {true, false})
        for (ScaleStore store : {ScaleStore::f16, ScaleStore::bf16, ScaleStore::f32})
          for (int64_t group : {32, 128, 5, -1}) {
            const int64_t cols = group == 5 ? 33 : 160;  // a shorter last group
            Matrix importance(search == ScaleSearch::importance ? 1 : 0,
                              search == ScaleSearch::importance ? cols : 0);
            for (int64_t col = 0; col < importance.cols; ++col)  // over eight decades
              importance.at(0, col) = std::pow(10.0f, static_cast<float>(col * 7 % 17) / 2 - 4);
            const Grid grid{
                .bits = bits, .group_size = group, .symmetric = symmetric, .scales = store};
            expect_as_good({.grid = grid, .search = search}, importance);
          }
  }
};

TEST_P(FittedGrids, ByPowerAsGoodAsTheReference) { expect_all_as_good(ScaleSearch::power); }
TEST_P(FittedGrids, ByImportanceAsGoodAsTheReference) {
  expect_all_as_good(ScaleSearch::importance);
}

TEST_P(Grids, OtherPowers) {
  for (float power : {1.0f, 2.0f, 3.5f}) {
    const GridFit spec{.grid = {.group_size = 64}, .power = power, .steps = 50};
    const Matrix weights = random_matrix(9, 192, 2), none;
    const FittedGrid expected = fit(*reference_, weights, spec, Layout::dense);
    const FittedGrid actual = fit(*tested_, weights, spec, Layout::dense);
    for (int64_t row = 0; row < 9; ++row)
      for (int64_t g = 0; g < 3; ++g) {
        const GroupOf group{weights, row, g, none};
        EXPECT_LE(loss(group, spec, actual), loss(group, spec, expected) * (1 + 1e-5))
            << "power " << power;
      }
  }
}

TEST_P(Grids, MinMaxIsTheReferencesBitForBit) {
  for (int bits : {2, 3, 4, 8}) {
    for (bool symmetric : {true, false}) {
      for (ScaleStore store : {ScaleStore::f16, ScaleStore::bf16, ScaleStore::f32}) {
        const GridFit spec{
            .grid = {.bits = bits, .group_size = 40, .symmetric = symmetric, .scales = store},
            .search = ScaleSearch::minmax};
        const Matrix weights = varied_weights(160);
        const FittedGrid expected = fit(*reference_, weights, spec, Layout::dense);
        const FittedGrid actual = fit(*tested_, weights, spec, Layout::strided);
        EXPECT_EQ(expected.scales.values, actual.scales.values);
        EXPECT_EQ(expected.zeros.values, actual.zeros.values);
      }
    }
  }
}

// --- quantize_columns ---

struct SolveCase {
  int64_t rows, cols, begin, end;
  bool ordered = false;  // groups as activation order leaves them
};

struct Solved {
  Matrix codes, errors, target;
};

class Solve : public Grids {
 protected:
  Matrix weights_, target_, factor_, scales_, zeros_;
  std::vector<int32_t> group_of_;

  void prepare(const SolveCase& test, const Grid& grid) {
    weights_ = random_matrix(test.rows, test.cols, 3);
    target_ = random_matrix(test.rows, test.cols, 4);
    factor_ = random_matrix(test.cols, test.cols, 5);
    for (size_t i = 0; i < weights_.values.size(); ++i)
      target_.values[i] = weights_.values[i] + 0.1f * target_.values[i];
    for (float& value : factor_.values) value *= 0.2f;
    const FittedGrid fitted = fit(*reference_, weights_, {.grid = grid}, Layout::dense);
    scales_ = fitted.scales;
    zeros_ = fitted.zeros;
    group_of_.clear();
    for (int64_t col = 0; col < test.cols; ++col) {
      const int64_t from = test.ordered ? col * 7 % test.cols : col;
      group_of_.push_back(static_cast<int32_t>(from / grid.group_size));
    }
  }

  Solved solve(Backend& backend, const SolveCase& test, const Grid& grid, Layout layout) const {
    const Operand w(backend, weights_, DType::f32, layout);
    const Operand target(backend, target_, DType::f32, layout);
    const Operand factor(backend, factor_, DType::f32, layout);
    const Operand scales(backend, scales_, DType::f32, layout);
    const Operand zeros(backend, zeros_, grid.offsets ? DType::f32 : DType::u8, layout);
    const Operand codes(backend, test.rows, test.cols, DType::u8, layout);
    const Operand errors(backend, test.rows, test.end - test.begin, DType::f32, layout);
    backend.quantize_columns(w, target, factor,
                             {.begin = test.begin, .end = test.end, .group_of = group_of_}, grid,
                             scales, zeros, codes, errors);
    return {codes.fetch(), errors.fetch(), target.fetch()};
  }

  // Rounding errors of f32 may turn a tie, after which the rest of the row goes its own way.
  void expect_same_but_for_ties(const SolveCase& test, const Solved& expected,
                                const Solved& actual) const {
    int64_t turned = 0;
    for (int64_t row = 0; row < test.rows; ++row) {
      for (int64_t col = test.end - 1; col >= test.begin; --col) {
        const float scale = scales_.at(row, group_of_[static_cast<size_t>(col)]);
        const float rest = expected.target.at(row, col) / scale;  // of a step
        if (expected.codes.at(row, col) != actual.codes.at(row, col)) {
          EXPECT_NEAR(std::abs(rest), 0.5, 1e-3) << "row " << row << ", column " << col;
          ++turned;
          break;
        }
        const int64_t at = col - test.begin;
        EXPECT_NEAR(expected.errors.at(row, at), actual.errors.at(row, at), 1e-6);
        // Sums of up to 128 products in f32, in an order of the backend's own.
        const float size = std::max(1.0f, std::abs(expected.target.at(row, col)));
        EXPECT_NEAR(expected.target.at(row, col), actual.target.at(row, col), 1e-5 * size);
      }
    }
    EXPECT_LE(turned, 1 + test.rows / 20);
  }
};

TEST_P(Solve, BlocksOfColumns) {
  for (int bits : {2, 3, 4, 8}) {
    for (bool symmetric : {true, false}) {
      const Grid grid{.bits = bits, .group_size = 32, .symmetric = symmetric};
      for (const SolveCase& test :
           {SolveCase{1, 32, 0, 32}, SolveCase{33, 64, 31, 32}, SolveCase{70, 160, 17, 90},
            SolveCase{5, 160, 32, 160, true}, SolveCase{130, 256, 128, 256, true},
            SolveCase{64, 96, 0, 5}, SolveCase{9, 400, 100, 387, true}}) {
        for (Layout layout : {Layout::dense, Layout::strided}) {
          SCOPED_TRACE(testing::Message() << bits << " bits, " << test.rows << " rows, columns "
                                          << test.begin << " to " << test.end);
          prepare(test, grid);
          const Solved expected = solve(*reference_, test, grid, layout);
          const Solved actual = solve(*tested_, test, grid, layout);
          expect_same_but_for_ties(test, expected, actual);
          for (int64_t row = 0; row < test.rows; ++row)  // other columns stay as they are
            for (int64_t col = 0; col < test.cols; ++col)
              if (col < test.begin || col >= test.end) {
                EXPECT_EQ(actual.codes.at(row, col), 0);
                EXPECT_EQ(actual.target.at(row, col), target_.at(row, col));
              }
        }
      }
    }
  }
}

// A table of levels, offsets, both: exact without feedback, and with it but for ties.
TEST_P(Solve, TablesAndOffsets) {
  constexpr float kMeanStep[] = {1, 16};  // between two levels
  const SolveCase test{70, 160, 17, 90, true};
  for (const LevelTable table : {LevelTable::even, LevelTable::iq4_nl}) {
    for (const bool offsets : {false, true}) {
      const Grid grid{.group_size = 32, .table = table, .offsets = offsets};
      prepare(test, {.group_size = 32});
      for (size_t i = 0; i < scales_.values.size(); ++i) {
        scales_.values[i] *= (i % 5 == 0 ? -1.0f : 1.0f) / kMeanStep[static_cast<int>(table)];
        zeros_.values[i] =
            offsets ? 0.37f * static_cast<float>(i % 7) : 8 * (1 - static_cast<float>(table));
      }
      const Solved expected = solve(*reference_, test, grid, Layout::dense);
      const Solved actual = solve(*tested_, test, grid, Layout::strided);
      int64_t turned = 0;
      for (int64_t row = 0; row < test.rows; ++row)
        for (int64_t col = test.end - 1; col >= test.begin; --col)
          if (expected.codes.at(row, col) != actual.codes.at(row, col)) {
            ++turned;
            break;
          } else {
            EXPECT_NEAR(expected.errors.at(row, col - test.begin),
                        actual.errors.at(row, col - test.begin), 1e-5);
          }
      EXPECT_LE(turned, 1 + test.rows / 20);
      factor_ = Matrix(test.cols, test.cols);
      EXPECT_EQ(solve(*reference_, test, grid, Layout::dense).codes.values,
                solve(*tested_, test, grid, Layout::dense).codes.values);
    }
  }
}

// Without feedback it is rounding to nearest, ties to even: exact on every backend.
TEST_P(Solve, RoundsTiesToEvenAndClamps) {
  const Grid grid{.bits = 3, .group_size = 8};
  const SolveCase test{.rows = 1, .cols = 8, .begin = 0, .end = 8};
  prepare(test, grid);
  weights_.values = {-9, -2.5f, -1.5f, -0.5f, 0.5f, 1.5f, 2.5f, 9};
  target_ = weights_;
  factor_ = Matrix(8, 8);
  scales_.values = {1};
  zeros_.values = {4};
  const Solved solved = solve(*tested_, test, grid, Layout::dense);
  EXPECT_EQ(solved.codes.values, (std::vector<float>{0, 2, 2, 4, 4, 6, 6, 7}));
  EXPECT_EQ(solved.errors.values,
            (std::vector<float>{-5, -0.5f, 0.5f, -0.5f, 0.5f, -0.5f, 0.5f, 6}));
}

// --- encode, code_errors ---

// Codes and errors of `weights`, with these scales and zeros.
struct Encoded {
  Matrix codes, errors;
};
struct EncodeCase {
  Grid grid;
  Matrix weights, scales, zeros;
  std::vector<int32_t> group_of;
};

Encoded encode(Backend& backend, const EncodeCase& test, Layout layout) {
  const Operand w(backend, test.weights, DType::f32, layout);
  const Operand scales(backend, test.scales, DType::f32, layout);
  const Operand zeros(backend, test.zeros, test.grid.offsets ? DType::f32 : DType::u8, layout);
  const Operand codes(backend, w.view().rows, w.view().cols, DType::u8, layout);
  const CodeView q{codes, scales, zeros, test.group_of, test.grid.table};
  backend.encode(w, test.grid, q);
  backend.code_errors(w, q, w);  // in place
  return {codes.fetch(), w.fetch()};
}

TEST_P(Grids, EncodesTiesToEvenAndClamps) {
  EncodeCase test{.grid = {.bits = 4}, .weights = Matrix(1, 10), .scales = Matrix(1, 1, 1)};
  test.zeros = Matrix(1, 1, 8);
  test.group_of.assign(10, 0);
  test.weights.values = {0.49f, 0.5f, 1.5f, -0.5f, -7.6f, 99, -99, INFINITY, -INFINITY, NAN};
  EXPECT_EQ(encode(*tested_, test, Layout::dense).codes.values,
            (std::vector<float>{8, 8, 10, 8, 0, 15, 0, 15, 0, 0}));
}

// IQ4_NL's levels around 0 are −10, 1 and 13; a scale of 0 is 0 whatever the code.
TEST_P(Grids, EncodesToTheNearestLevel) {
  EncodeCase test{.grid = {.bits = 4, .table = LevelTable::iq4_nl}, .weights = Matrix(2, 5)};
  test.scales = Matrix(2, 2);
  test.scales.values = {0.5f, -1, 0, 0.5f};
  test.zeros = Matrix(2, 2);
  test.group_of = {0, 0, 0, 0, 1};
  test.weights.values = {0, 6, -2.25f, 99, 127, 1, -1, 0, 0, NAN};
  const Encoded encoded = encode(*tested_, test, Layout::dense);
  EXPECT_EQ(encoded.codes.values, (std::vector<float>{8, 9, 7, 15, 0, 15, 0, 0, 0, 0}));
  EXPECT_EQ(std::vector<float>(encoded.errors.values.begin(), encoded.errors.values.begin() + 9),
            (std::vector<float>{-0.5f, -0.5f, 2.75f, 42.5f, 0, 1, -1, 0, 0}));
}

TEST_P(Grids, EncodesWithOffsets) {
  EncodeCase test{.grid = {.bits = 2, .symmetric = false, .offsets = true},
                  .weights = Matrix(1, 5)};
  test.scales = Matrix(1, 1, 0.5f);
  test.zeros = Matrix(1, 1, 0.3f);
  test.group_of.assign(5, 0);
  test.weights.values = {-0.3f, 0.2f, 0.4f, 9, -9};
  EXPECT_EQ(encode(*tested_, test, Layout::dense).codes.values,
            (std::vector<float>{0, 1, 1, 3, 0}));
}

TEST_P(Grids, EncodesRowsByTheirGroups) {
  EncodeCase test{.grid = {.bits = 4}, .weights = Matrix(2, 4), .scales = Matrix(2, 2)};
  test.weights.values = {1, 2, 1, 2.25f, -4, 4, -4.5f, 4};
  test.scales.values = {1, 0.5f, 2, 1};
  test.zeros = Matrix(2, 2, 8);
  test.group_of = {0, 0, 1, 1};
  const Encoded encoded = encode(*tested_, test, Layout::dense);
  EXPECT_EQ(encoded.codes.values, (std::vector<float>{9, 10, 10, 12, 6, 10, 4, 12}));
  EXPECT_EQ(encoded.errors.values, (std::vector<float>{0, 0, 0, 0.25f, 0, 0, -0.5f, 0}));
}

TEST_P(Grids, EncodesAsTheReferenceBitForBit) {
  for (int bits : {2, 3, 4, 8}) {
    for (int64_t width : {1, 7, 32, 131}) {
      for (bool ordered : {false, true}) {
        SCOPED_TRACE(testing::Message() << bits << " bits, groups of " << width);
        const int64_t rows = 35, cols = 131, groups = (cols + width - 1) / width;
        EncodeCase test{.grid = {.bits = bits, .symmetric = false}};
        test.weights = random_matrix(rows, cols, 6);
        test.scales = random_matrix(rows, groups, 7);
        test.zeros = Matrix(rows, groups);
        for (size_t i = 0; i < test.scales.values.size(); ++i) {
          test.scales.values[i] = std::abs(test.scales.values[i]) / 4 + 1e-6f;
          test.zeros.values[i] = static_cast<float>(i * 5 % static_cast<size_t>(1 << bits));
        }
        for (int64_t row = 0; row < rows; row += 3)  // in the middle between two values
          for (int64_t col = 0; col < cols; ++col)
            test.weights.at(row, col) =
                test.scales.at(row, col / width) * (static_cast<float>(col % 40 - 20) + 0.5f);
        for (int64_t col = 0; col < cols; ++col)
          test.group_of.push_back(static_cast<int32_t>(ordered ? col * 11 % groups : col / width));
        for (Layout layout : {Layout::dense, Layout::strided}) {
          const Encoded expected = encode(*reference_, test, layout);
          const Encoded actual = encode(*tested_, test, layout);
          EXPECT_EQ(expected.codes.values, actual.codes.values);
          EXPECT_EQ(expected.errors.values, actual.errors.values);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, FittedGrids, testing::ValuesIn(tested_backends()),
                         [](const auto& test) { return test.param; });
INSTANTIATE_TEST_SUITE_P(Backends, Grids, testing::ValuesIn(tested_backends()),
                         [](const auto& test) { return test.param; });
INSTANTIATE_TEST_SUITE_P(Backends, Solve, testing::ValuesIn(tested_backends()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone::conformance

// Scales and offsets of ggml's grids: the loops of `ref` and the template that the others run
// (backend/block_search.h) find the same bits.
#include <cmath>

#include "conformance/conformance.h"

namespace halftone::conformance {
namespace {

class Blocks : public Conformance {
 protected:
  struct Fitted {
    Matrix scales, offsets;
  };

  static Fitted fit(Backend& backend, const Matrix& weights, const Matrix& importance,
                    const GridFit& spec, Layout layout) {
    const int64_t groups = spec.grid.groups(weights.cols);
    const Operand w(backend, weights, DType::f32, layout);
    const Operand counts(backend, importance, DType::f32, Layout::dense);
    const Operand scales(backend, weights.rows, groups, DType::f32, layout);
    if (!spec.grid.offsets) {
      backend.fit_blocks(w, spec, counts, scales, {});
      return {scales.fetch(), Matrix(0, 0)};
    }
    const Operand offsets(backend, weights.rows, groups, DType::f32, layout);
    backend.fit_blocks(w, spec, counts, scales, offsets);
    return {scales.fetch(), offsets.fetch()};
  }

  void expect_same(const GridFit& spec, const Matrix& weights, const Matrix& importance) {
    const Fitted expected = fit(*reference_, weights, importance, spec, Layout::dense);
    const Fitted actual = fit(*tested_, weights, importance, spec, Layout::strided);
    EXPECT_EQ(expected.scales.values, actual.scales.values);
    EXPECT_EQ(expected.offsets.values, actual.offsets.values);
  }
};

// Ordinary rows, small, large and one-sided ones, a group and a superblock of zeros, outliers.
Matrix varied_rows(int64_t rows) {
  Matrix weights = random_matrix(rows, 768, 21);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t col = 0; col < weights.cols; ++col) {
      float& w = weights.at(row, col);
      w *= row % 7 == 3 ? 1e-6f : row % 7 == 4 ? 1e3f : 0.02f;
      if (row % 7 == 1) w = std::abs(w);
      if (row % 7 == 2) w = -std::abs(w);
      if (row % 7 == 5 && col % 37 == 5) w *= 50;
      if (row % 7 == 6 && (col < 64 || col >= 512)) w = 0;
    }
  }
  return weights;
}

TEST_P(Blocks, FittedAsTheReferenceDoesBitForBit) {
  const Grid grids[] = {
      {.bits = 4, .group_size = 32, .signed_scales = true},                // Q4_0
      {.bits = 4, .group_size = 32, .symmetric = false, .offsets = true},  // Q4_1
      {.bits = 5, .group_size = 64, .symmetric = false, .offsets = true},  // wider
      {.bits = 8, .group_size = 384, .signed_scales = true},               // the widest
      {.bits = 4, .group_size = 32, .table = LevelTable::iq4_nl},          // IQ4_NL
      {.bits = 4,                                                          // Q4_K
       .group_size = 32,
       .symmetric = false,
       .offsets = true,
       .superblock = 256,
       .multiple_bits = 6},
      {.bits = 6, .group_size = 16, .superblock = 256, .multiple_bits = 8},  // Q6_K
      {.bits = 4,                                                            // IQ4_XS
       .group_size = 32,
       .table = LevelTable::iq4_nl,
       .superblock = 256,
       .multiple_bits = 6}};
  Matrix importance(1, 768);
  for (int64_t col = 0; col < importance.cols; ++col)
    importance.at(0, col) = std::pow(10.0f, static_cast<float>(col * 7 % 17) / 4 - 2);
  for (const Grid& grid : grids)
    for (const ScaleSearch search : {ScaleSearch::power, ScaleSearch::minmax})
      for (const int64_t rows : {1, 23}) {
        SCOPED_TRACE(testing::Message()
                     << grid.bits << " bits, groups of " << grid.group_size << ", superblock "
                     << grid.superblock << ", offsets " << grid.offsets << ", search "
                     << static_cast<int>(search) << ", rows " << rows);
        const GridFit spec{.grid = grid, .search = search};
        expect_same(spec, varied_rows(rows), Matrix(0, 0));
        expect_same(spec, varied_rows(rows), importance);
      }
}

INSTANTIATE_TEST_SUITE_P(Backends, Blocks, testing::ValuesIn(tested_backends()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone::conformance

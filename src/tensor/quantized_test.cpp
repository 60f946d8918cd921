#include "tensor/quantized.h"

#include <gtest/gtest.h>

#include "base/half.h"

namespace halftone {
namespace {

// Two rows of five columns in groups of two: the last group is short.
QuantizedMatrix example() {
  QuantizedMatrix matrix;
  matrix.grid = {.bits = 4, .group_size = 2, .symmetric = false};
  matrix.rows = 2;
  matrix.cols = 5;
  matrix.codes = {0, 15, 8, 9, 1, 3, 3, 3, 3, 3};
  matrix.scales = {0.5f, 1, 2, 1, 0.25f, 4};
  matrix.zeros = {8, 8, 0, 3, 2, 15};
  return matrix;
}

TEST(QuantizedMatrix, WorkedExample) {
  const QuantizedMatrix matrix = example();
  EXPECT_EQ(matrix.groups(), 3);
  EXPECT_EQ(matrix.value(0, 0), -4);  // 0.5 · (0 − 8)
  HostAllocator host;
  Tensor out(host, 2, 5, DType::f32);
  dequantize(matrix, 0, 2, out);
  const float expected[2][5] = {{-4, 3.5f, 0, 1, 2}, {0, 0, 0.25f, 0.25f, -48}};
  for (int r = 0; r < 2; ++r)
    for (int c = 0; c < 5; ++c) {
      EXPECT_EQ(out.row<float>(r)[c], expected[r][c]) << r << ' ' << c;
      EXPECT_EQ(matrix.value(r, c), expected[r][c]) << r << ' ' << c;
    }
}

TEST(QuantizedMatrix, GroupsMayBeScattered) {
  QuantizedMatrix matrix = example();
  matrix.group_of = {2, 1, 0, 1, 2};
  HostAllocator host;
  Tensor out(host, 1, 5, DType::f16);
  dequantize(matrix, 1, 2, out);
  const float expected[5] = {-48, 0.25f, 0, 0.25f, -48};
  for (int c = 0; c < 5; ++c) {
    EXPECT_EQ(to_float(out.row<f16>(0)[c]), expected[c]);
    EXPECT_EQ(matrix.value(1, c), expected[c]);
  }
}

TEST(QuantizedMatrix, WholeRowsAndRowsWithStride) {
  QuantizedMatrix matrix = example();
  matrix.grid.group_size = -1;
  matrix.scales = {0.5f, 0.3f};
  matrix.zeros = {8, 0};
  HostAllocator host;
  Tensor wide(host, 2, 8, DType::bf16);
  dequantize(matrix, 0, 2, wide.view().cols_of(3, 8));
  EXPECT_EQ(to_float(wide.row<bf16>(0)[4]), 3.5f);
  EXPECT_EQ(wide.row<bf16>(1)[3].bits, to_bf16(0.3f * 3).bits) << "rounded once";
}

TEST(Grid, CountsBitsAndGroups) {
  const Grid symmetric{.bits = 4, .group_size = 128};
  EXPECT_EQ(symmetric.bits_per_weight(4096), 4.125);
  EXPECT_EQ((Grid{.bits = 4, .group_size = 128, .symmetric = false}).bits_per_weight(4096),
            4 + 20.0 / 128);
  EXPECT_EQ(symmetric.groups(129), 2);
  EXPECT_EQ((Grid{.group_size = -1}).groups(129), 1);
  EXPECT_EQ(symmetric.symmetric_zero(), 8);
}

TEST(Grid, RoundsScalesAsStored) {
  EXPECT_EQ(round_to(ScaleStore::f32, 0.1f), 0.1f);
  EXPECT_EQ(round_to(ScaleStore::f16, 0.1f), round_to_f16(0.1f));
  EXPECT_EQ(round_to(ScaleStore::bf16, 0.1f), round_to_bf16(0.1f));
}

}  // namespace
}  // namespace halftone

// Which grids a matrix can have, and rounding to one.
#include "quant/grid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace halftone {
namespace {

using testing::ElementsAre;

std::string refusal(const Grid& grid, int64_t cols) {
  try {
    check_grid(grid, 576, cols, "model.layers.0.self_attn.q_proj");
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::usage);
    return error.what() + std::string("\n") + error.hint();
  }
  return "";
}

TEST(Grid, GroupSizeMustDivide) {
  EXPECT_EQ(refusal({.group_size = 128}, 576),
            "--group-size 128 does not divide model.layers.0.self_attn.q_proj's 576 inputs\n"
            "use --group-size 64 (or 32, 96, 192, -1).");
  EXPECT_EQ(refusal({.group_size = 100}, 1000), "");
  EXPECT_EQ(refusal({.group_size = 48}, 35),
            "--group-size 48 does not divide model.layers.0.self_attn.q_proj's 35 inputs\n"
            "use --group-size -1 (one group a row).");
  EXPECT_EQ(refusal({.group_size = 64}, 576), "");
  EXPECT_EQ(refusal({.group_size = -1}, 35), "");
}

TEST(Grid, RefusesNonsense) {
  EXPECT_EQ(refusal({.bits = 5}, 576), "--bits 5: expected 2, 3, 4 or 8\n");
  for (const int64_t size : {0, -2})
    EXPECT_NE(refusal({.group_size = size}, 576).find("expected a positive number"),
              std::string::npos);
}

TEST(Grid, EncodesToTheNearestHalvesToEven) {
  EXPECT_EQ(encode(0.49f, 1, 8, 15), 8);
  EXPECT_EQ(encode(0.5f, 1, 8, 15), 8);
  EXPECT_EQ(encode(1.5f, 1, 8, 15), 10);
  EXPECT_EQ(encode(-0.5f, 1, 8, 15), 8);
  EXPECT_EQ(encode(-7.6f, 1, 8, 15), 0);
  EXPECT_EQ(encode(99, 1, 8, 15), 15);
  EXPECT_EQ(encode(-99, 1, 8, 15), 0);
  EXPECT_EQ(encode(std::numeric_limits<float>::infinity(), 1, 8, 15), 15);
  EXPECT_EQ(encode(std::nanf(""), 1, 8, 15), 0);
}

TEST(Grid, EncodesRowsByTheirGroups) {
  QuantizedMatrix matrix{{4, 2, true, ScaleStore::f16},
                         2,
                         4,
                         std::vector<uint8_t>(8),
                         {1, 0.5f, 2, 1},
                         {8, 8, 8, 8},
                         {}};
  const float weights[] = {1, 2, 1, 2, -4, 4, -4, 4};
  encode_rows({weights, 2, 4, 4, DType::f32, Place::host}, 0, matrix);
  EXPECT_THAT(matrix.codes, ElementsAre(9, 10, 10, 12, 6, 10, 4, 12));
}

}  // namespace
}  // namespace halftone

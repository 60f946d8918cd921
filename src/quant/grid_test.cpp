// Which grids a matrix can have.
#include "quant/grid.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace halftone {
namespace {

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
  EXPECT_EQ(refusal({.bits = 7}, 576), "--bits 7: expected 2, 3, 4, 5, 6 or 8\n");
  for (const int64_t size : {0, -2})
    EXPECT_NE(refusal({.group_size = size}, 576).find("expected a positive number"),
              std::string::npos);
}

}  // namespace
}  // namespace halftone

#include "format/fused_modules.h"

#include <gtest/gtest.h>

#include <array>

#include "base/error.h"

namespace halftone {
namespace {

PlannedModule module_of(const std::string& name, const Grid& grid, bool skipped = false) {
  return {"model.layers.0." + name, Role::q, 64, 128, grid, skipped};
}

const Grid kFour{.bits = 4, .group_size = 64}, kFine{.bits = 4, .group_size = 32},
    kEight{.bits = 8, .group_size = 128};
const Grid kZeros{.bits = 4, .group_size = 64, .symmetric = false};

TEST(AlignGrids, FusedPartsTakeTheFinestOfEach) {
  std::array modules = {module_of("self_attn.q_proj", kFour),  module_of("self_attn.k_proj", kFine),
                        module_of("self_attn.v_proj", kEight), module_of("mlp.gate_proj", kZeros),
                        module_of("mlp.up_proj", kFine),       module_of("mlp.down_proj", kFour)};
  EXPECT_THROW(check_fused(modules), Error);
  align_grids(find_format("compressed-tensors"), modules);
  EXPECT_NO_THROW(check_fused(modules));
  for (int i : {0, 1, 2}) {
    EXPECT_EQ(modules[i].grid.bits, 8);
    EXPECT_EQ(modules[i].grid.group_size, 32);
    EXPECT_TRUE(modules[i].grid.symmetric);
  }
  for (int i : {3, 4}) {
    EXPECT_EQ(modules[i].grid.bits, 4);
    EXPECT_EQ(modules[i].grid.group_size, 32);
    EXPECT_FALSE(modules[i].grid.symmetric);
  }
  EXPECT_EQ(modules[5].grid, kFour);
}

TEST(AlignGrids, AWholeModelTakesTheMainOneAndOthersNone) {
  std::array modules = {module_of("self_attn.q_proj", kFour), module_of("mlp.down_proj", kFour),
                        module_of("self_attn.v_proj", kZeros),
                        module_of("mlp.up_proj", kFine, true)};
  align_grids(find_format("mlx"), modules);
  EXPECT_EQ(modules[0].grid, kFour);
  align_grids(find_format("awq"), modules);
  for (int i : {0, 1, 2}) {
    EXPECT_EQ(modules[i].grid.group_size, 64);
    EXPECT_FALSE(modules[i].grid.symmetric);
  }
  EXPECT_EQ(modules[3].grid, kFine) << "stays dense";
}

// Which of the two is meant, nobody knows.
TEST(AlignGrids, ADensePartIsLeftToTheCheck) {
  std::array modules = {module_of("mlp.gate_proj", kFour, true), module_of("mlp.up_proj", kFine)};
  align_grids(find_format("gptq"), modules);
  EXPECT_THROW(check_fused(modules), Error);
}

}  // namespace
}  // namespace halftone

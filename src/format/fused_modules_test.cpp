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

TEST(AlignGrids, FusedPartsTakeTheFinest) {
  std::array modules = {module_of("self_attn.q_proj", kFour),  module_of("self_attn.k_proj", kFine),
                        module_of("self_attn.v_proj", kEight), module_of("mlp.gate_proj", kFour),
                        module_of("mlp.up_proj", kFine),       module_of("mlp.down_proj", kFour)};
  EXPECT_THROW(check_fused(modules), Error);
  align_grids(GridScope::fused, modules);
  EXPECT_NO_THROW(check_fused(modules));
  for (int i : {0, 1, 2}) EXPECT_EQ(modules[i].grid, kEight);
  for (int i : {3, 4}) EXPECT_EQ(modules[i].grid, kFine);
  EXPECT_EQ(modules[5].grid, kFour);
}

TEST(AlignGrids, AWholeModelTakesOneAndOthersNone) {
  std::array modules = {module_of("self_attn.q_proj", kFour), module_of("mlp.down_proj", kEight),
                        module_of("mlp.up_proj", kFour, true)};
  align_grids(GridScope::linear, modules);
  EXPECT_EQ(modules[0].grid, kFour);
  align_grids(GridScope::model, modules);
  EXPECT_EQ(modules[0].grid, kEight);
  EXPECT_EQ(modules[2].grid, kFour) << "stays dense";
}

// Which of the two is meant, nobody knows.
TEST(AlignGrids, ADensePartIsLeftToTheCheck) {
  std::array modules = {module_of("mlp.gate_proj", kFour, true), module_of("mlp.up_proj", kFine)};
  align_grids(GridScope::fused, modules);
  EXPECT_THROW(check_fused(modules), Error);
}

}  // namespace
}  // namespace halftone

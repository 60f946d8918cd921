// Progress never falls and ends at 1, whichever way a layer's stages are gone through.
#include "apps/work_done.h"

#include <gtest/gtest.h>

namespace halftone {
namespace {

TEST(WorkDone, StageByStage) {
  const WorkDone done(2, true, false);
  double last = 0;
  for (int layer = 0; layer < 2; ++layer)
    for (int s = 0; s < kStages; ++s) {
      const StageId id{layer, static_cast<Stage>(s)};
      EXPECT_DOUBLE_EQ(done.in_windows(id, 0), last);
      EXPECT_GT(done.in_windows(id, 1), done.in_windows(id, 0.5));
      last = done.solved(id);
      EXPECT_GT(last, done.in_windows(id, 1));
    }
  EXPECT_DOUBLE_EQ(last, 8.0 / 9);
  EXPECT_DOUBLE_EQ(done.solved(kHeadStage), 1);
}

TEST(WorkDone, ALayerAtOnce) {
  const WorkDone done(2, false, true);
  double last = 0;
  for (int layer = 0; layer < 2; ++layer) {
    EXPECT_DOUBLE_EQ(done.in_windows({layer, Stage::attn_in}, 0), last);
    last = done.in_windows({layer, Stage::attn_in}, 1);
    EXPECT_DOUBLE_EQ(done.in_windows({layer, Stage::mlp_out}, 1), last);
    for (int s = 0; s < kStages; ++s) {
      EXPECT_GT(done.solved({layer, static_cast<Stage>(s)}), last);
      last = done.solved({layer, static_cast<Stage>(s)});
    }
  }
  EXPECT_DOUBLE_EQ(last, 1);
}

}  // namespace
}  // namespace halftone

// The worked examples of docs/methods.md §2 for ggml's types.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "backend/ref/ref_backend.h"

namespace halftone {
namespace {

using testing::ElementsAre;

struct Fitted {
  std::vector<float> scales, offsets;
};

Fitted fit(const std::vector<float>& weights, const GridFit& fit,
           const std::vector<float>& importance = {}) {
  const auto backend = make_ref_backend({});
  const auto count = static_cast<int64_t>(weights.size());
  const int64_t groups = fit.grid.groups(count);
  Fitted fitted{std::vector<float>(static_cast<size_t>(groups)),
                std::vector<float>(fit.grid.offsets ? static_cast<size_t>(groups) : 0)};
  const ConstView counts =
      importance.empty() ? ConstView{} : ConstView{importance.data(), 1, count, count};
  const View offsets = fit.grid.offsets ? View{fitted.offsets.data(), 1, groups, groups} : View{};
  backend->fit_blocks(ConstView{weights.data(), 1, count, count}, fit, counts,
                      View{fitted.scales.data(), 1, groups, groups}, offsets);
  return fitted;
}

const std::vector<float> kWeights = {-4, -1, 2, 3.5f};
constexpr ScaleSearch kRange = ScaleSearch::minmax, kPower = ScaleSearch::power;

// Whose lowest level lies on either side: −2, −1, 0, 1 times the scale.
TEST(FitBlocks, ScalesOfEitherSign) {
  const Grid grid{.bits = 2, .group_size = 4, .signed_scales = true};
  EXPECT_THAT(fit(kWeights, {grid, kRange}).scales, ElementsAre(2.666015625f));
  EXPECT_THAT(fit(kWeights, {grid, kPower}).scales, ElementsAre(2.25f));
  const std::vector<float> negated = {4, 1, -2, -3.5f};
  EXPECT_THAT(fit(negated, {grid, kPower}).scales, ElementsAre(-2.25f));
}

TEST(FitBlocks, Offsets) {
  const Grid grid{.bits = 2, .group_size = 4, .symmetric = false, .offsets = true};
  const Fitted range = fit(kWeights, {grid, kRange}), found = fit(kWeights, {grid, kPower});
  EXPECT_THAT(range.scales, ElementsAre(2.5f));
  EXPECT_THAT(range.offsets, ElementsAre(4));
  EXPECT_THAT(found.scales, ElementsAre(2.55078125f));
  EXPECT_THAT(found.offsets, ElementsAre(3.69921875f));
}

TEST(FitBlocks, Tables) {
  const Grid grid{.bits = 4, .group_size = 4, .table = LevelTable::iq4_nl};
  EXPECT_THAT(fit(kWeights, {grid, kRange}).scales, ElementsAre(0x1.02p-5f));
  EXPECT_THAT(fit({0, 0, 0, 0}, {grid, kPower}).scales, ElementsAre(0));
}

// Units of f16(4/3 / 7) and f16(4 / 7), and (5, 7) and (7, 1) times those.
TEST(FitBlocks, Superblocks) {
  const Fitted found = fit(kWeights, {{.bits = 2,
                                       .group_size = 2,
                                       .symmetric = false,
                                       .offsets = true,
                                       .superblock = 4,
                                       .multiple_bits = 3},
                                      kRange});
  constexpr float kScale = 0.1904296875f, kOffset = 0.5712890625f;
  EXPECT_THAT(found.scales, ElementsAre(5 * kScale, 7 * kScale));
  EXPECT_THAT(found.offsets, ElementsAre(7 * kOffset, kOffset));
}

// What counts a thousand times is met, whatever that costs the others: 3.5 = −2 · −1.75.
TEST(FitBlocks, Importance) {
  const Grid grid{.bits = 2, .group_size = 4, .signed_scales = true};
  const GridFit by_importance{grid, ScaleSearch::importance};
  EXPECT_NEAR(fit(kWeights, by_importance, {1, 1, 1, 1000}).scales[0], -1.75f, 2e-3f);
}

}  // namespace
}  // namespace halftone
